// SPDX-License-Identifier: Apache-2.0
// A tekton.dev/v1 Pipeline, decoded and checked -> the run graph. Pure. What the format has and this does not is refused
// by the field's name; wording follows upstream's validation where it has one.
#pragma once

#include <string>
#include <vector>

#include "ci/tekton/substitute.h"
#include "run/graph.h"

namespace slipway::tekton {

struct PipelineTask {
  std::string name;
  Json task_ref, task_spec;  // one of the two
  Json params, workspaces, when;
  std::vector<std::string> run_after;
  std::int64_t retries = 0;
  std::string timeout;
  bool is_final = false;
};

struct Pipeline {
  Json params, results, workspaces;
  std::vector<PipelineTask> tasks;  // in the order of the graph: what is needed stands before
  run::Graph graph;

  static Result<Pipeline> decode(const Json& spec);
  const PipelineTask& operator[](run::NodeId id) const { return tasks[id.index]; }
};

// Values of declared params: given ones, else defaults; a missing or unknown one is an error.
Result<Json> resolve_params(const Json& declared, const Json& given, std::string_view what);

// "1h30m", "90s" -> seconds; empty: the fallback.
Result<std::int64_t> parse_duration(std::string_view text, std::int64_t fallback);

// Refuses every key of the object that is not listed.
Result<> only_fields(const Json& object, std::initializer_list<std::string_view> known, std::string_view where);

}  // namespace slipway::tekton
