// SPDX-License-Identifier: Apache-2.0
// kustomize's strategic merge of a patch into an object, and the schema that tells how lists merge. Pure.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cd/kustomize/id.h"
#include "cd/kustomize/nodes.h"

namespace slipway::cd::kustomize {

// Which lists merge, and by which keys. Only types that hold such a list, at any depth, are described.
class MergeSchema final {
 public:
  struct Type;
  struct Field {
    const Type* type = nullptr;  // of the object or of the items; nullptr: nothing to know
    bool is_list = false, merges = false;
    std::vector<std::string> keys;  // none: items are compared by value
  };
  struct Type {
    std::map<std::string, Field, std::less<>> fields;
    std::unique_ptr<Field> any_field;  // of maps
    const Field* find(std::string_view name) const;
  };

  static const MergeSchema& built_in();  // Kubernetes 1.21, as in kustomize
  // An OpenAPI document with `definitions` (a kustomization's openapi.path).
  static Result<std::unique_ptr<MergeSchema>> from_openapi(const Json& document);
  const Type* find(std::string_view api_version, std::string_view kind) const;

 private:
  friend class SchemaText;
  friend class SchemaOpenApi;
  std::map<std::string, Type, std::less<>> types_;
  std::map<std::string, const Type*, std::less<>> kinds_;  // "apps/v1 Deployment"
};

// The merged object, or nullptr where the patch deletes it. `patch` may become part of it and is changed.
Result<YamlNode*> merge(YamlPool& pool, const MergeSchema& schema, YamlNode* object, YamlNode* patch);

}  // namespace slipway::cd::kustomize
