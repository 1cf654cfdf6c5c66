// SPDX-License-Identifier: Apache-2.0
// Which fields the transformers touch: kustomize's defaults, `configurations:` files and `crds:`. Pure.
#pragma once

#include <string>
#include <vector>

#include "cd/kustomize/field_spec.h"

namespace slipway::cd::kustomize {

// Fields that hold the name of an object of this kind.
struct NameReference {
  Gvk gvk;
  FieldSpecs referrers;
};

struct TransformerConfig {
  FieldSpecs name_prefix, name_suffix, ns, common_labels, labels, template_labels, claim_labels, common_annotations, variables, images, replicas;
  std::vector<NameReference> name_references;
};

const TransformerConfig& default_config();
Result<> merge_into(TransformerConfig& config, const TransformerConfig& more);
Result<TransformerConfig> parse_config(std::string_view text, std::string_view name);
FieldSpecs field_specs_of(const Json& list);                 // other members are passed over
Result<FieldSpecs> parse_field_specs(const Json& list);  // and here refused
// An OpenAPI description of custom resources with x-kubernetes-object-ref-* marks.
Result<TransformerConfig> parse_crds(std::string_view text, std::string_view name);

}  // namespace slipway::cd::kustomize
