// SPDX-License-Identifier: Apache-2.0
// One stage of a build: its steps in order, each found in the cache or carried out.
#pragma once

#include "ci/dockerfile/plan.h"
#include "cluster/node/build_context.h"
#include "cluster/node/build_layer.h"
#include "cluster/node/build_run.h"
#include "cluster/node/build_tree.h"

namespace slipway::cluster {

// An image, or what a stage has come to.
struct StageResult {
  std::string key;  // of all that it depends on
  std::vector<oci::Descriptor> layers;  // the lowest first
  std::vector<std::string> diff_ids;
  std::vector<text::Json> history;
  std::string created;
};

struct BuildInputs {
  const dockerfile::Build& build;
  const ContextTree& context;
  const std::map<std::string, StageResult>& images;  // by reference
  std::vector<StageResult>& stages;                  // by position in the build; those that are done
};

class StageRunner final {
 public:
  StageRunner(BuildPlace& place, const BuildInputs& inputs, std::size_t position);
  Result<StageResult> run(std::stop_token stop);

 private:
  Result<> step(const dockerfile::Step& step, std::stop_token stop);
  Result<std::string> key_of(const dockerfile::Step& step);
  Result<StepOutcome> carry_out(const dockerfile::Step& step, const std::string& label, std::stop_token stop);
  Result<std::optional<oci::Descriptor>> copy(const dockerfile::Copy& copy);
  Result<std::optional<oci::Descriptor>> run_step(const dockerfile::Run& run, const std::string& label, std::stop_token stop);
  Result<ReadyMount> ready(const dockerfile::Mount& mount);
  Result<> unpack_archives(const dockerfile::Copy& copy, std::vector<CopySource>& sources);
  Result<std::string> digest_of_origin(const dockerfile::Origin& from, const dockerfile::Copy& copy);
  void take(const StepOutcome& outcome, const dockerfile::Step& step);

  // The files of a place to take from; mounted once where it has several layers.
  Result<const Tree*> tree_of(const dockerfile::Origin& from);
  Result<const StageResult*> result_of(const dockerfile::Origin& from) const;
  Result<std::string> root_of(const std::vector<oci::Descriptor>& layers);
  Result<std::vector<std::string>> folders_of(const std::vector<oci::Descriptor>& layers);  // the uppermost first

  BuildPlace& place_;
  const BuildInputs& inputs_;
  const dockerfile::Stage& stage_;
  StageResult now_;
  std::map<std::string, std::string> roots_;                   // digests of layers -> folder
  std::map<std::string, std::unique_ptr<FolderTree>> trees_;   // by folder
  std::vector<CopySource> sources_;                            // of the COPY at hand
  bool sources_known_ = false;
};

}  // namespace slipway::cluster
