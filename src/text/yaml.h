// SPDX-License-Identifier: Apache-2.0
// YAML in and out, as Kubernetes' tools have it (sigs.k8s.io/yaml over go-yaml v2, here over libyaml). Pure.
//
// Reading resolves scalars as YAML 1.1: yes/no/on/off are booleans, 0777 and 0x1F numbers, timestamps text. A float
// that JSON would write without a fraction is an integer. Keys that are no strings become strings; `<<` merges;
// a key given twice is an error. Every error begins with "name:line:column: ".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/json.h"

namespace slipway::text {

struct YamlLimits {
  std::size_t depth = 100;          // B3, aliases followed
  std::size_t nodes = 1'000'000;    // B2, aliases followed, over all documents
  bool refuse_duplicate_keys = true;  // else the last one wins, as sigs.k8s.io/yaml has it; positions are then near
};

struct YamlMark {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
  bool operator==(const YamlMark&) const = default;
};

class YamlDocument {
 public:
  Json value;
  std::size_t line = 1;  // where its content starts

  // Where the value at "spec.containers[0].image" or "metadata.labels[a.b/c]" stands; of what does not exist, its
  // nearest parent. Inside of an alias: where the alias stands.
  YamlMark position(std::string_view path) const;

 private:
  friend class YamlReader;
  struct Place {
    YamlMark mark;
    std::uint32_t extent;  // how many places, this one included, belong to the value; they follow in its order
  };
  std::vector<Place> places_;
};

// Documents without content are left out. `name` (a file) is what errors begin with.
Result<std::vector<YamlDocument>> parse_yaml_documents(std::string_view text, std::string_view name,
                                                       const YamlLimits& limits = {});
// The one document; null where there is none; more than one is an error.
Result<Json> parse_yaml(std::string_view text, std::string_view name, const YamlLimits& limits = {});

// As `kubectl -o yaml` prints it: keys sorted (k9 before k10), two spaces, sequences level with their key. Ends in a
// newline.
std::string to_yaml(const Json& value);

}  // namespace slipway::text
