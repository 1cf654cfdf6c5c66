// SPDX-License-Identifier: Apache-2.0
// Runs the stages of a build, each after those it needs, some of them at the same time.
#pragma once

#include <functional>

#include "base/executor.h"
#include "ci/dockerfile/plan.h"

namespace slipway::cluster {

using StageBody = std::function<Result<>(std::size_t stage, std::stop_token stop)>;

// The first failure stops the others and is the answer.
Result<> run_stages(const dockerfile::Build& build, Executor& executor, std::size_t at_once, const StageBody& body, std::stop_token stop);

}  // namespace slipway::cluster
