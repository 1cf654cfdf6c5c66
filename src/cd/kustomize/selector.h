// SPDX-License-Identifier: Apache-2.0
// Which objects a patch or a replacement is for: anchored regular expressions (RE2) and label selectors. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cd/kustomize/resource.h"

namespace slipway::cd::kustomize {

// A regular expression; what has no operator in it is compared as text.
class Pattern final {
 public:
  enum class Anchor { whole, anywhere };
  static Result<Pattern> compile(std::string_view text, Anchor anchor);
  bool matches(std::string_view text) const;

 private:
  struct Compiled;
  std::string literal_;
  std::shared_ptr<const Compiled> compiled_;  // absent: literal_
};

// "app=web,tier in (a,b),!x", as Kubernetes parses it.
class LabelSelector final {
 public:
  static Result<LabelSelector> parse(std::string_view text);
  bool matches(const StringMap& labels) const;
  bool is_empty() const { return requirements_.empty(); }

 private:
  enum class Operator { in, not_in, exists, absent, greater, less };
  struct Requirement {
    std::string key;
    Operator op;
    std::vector<std::string> values;
  };
  static Result<Requirement> parse_one(std::string_view text);
  std::vector<Requirement> requirements_;
};

class Selector final {
 public:
  static Result<Selector> parse(const Json& value);  // group, version, kind, name, namespace, labelSelector, annotationSelector
  bool matches_gvk(const Gvk& gvk) const;
  bool matches_name(std::string_view name) const { return !name_ || name_->matches(name); }
  bool matches_namespace(std::string_view ns) const { return !ns_ || ns_->matches(ns); }
  bool matches_marks(const Resource& resource) const;  // labels and annotations
  bool matches_id(const ResId& id) const { return matches_gvk(id.gvk) && matches_name(id.name) && matches_namespace(id.ns); }
  bool has_marks() const { return !labels_.is_empty() || !annotations_.is_empty(); }
  bool names_something() const { return group_ || version_ || kind_ || name_ || ns_; }
  std::vector<ResourcePtr> select(const ResourceMap& map) const;

 private:
  std::shared_ptr<const Pattern> group_, version_, kind_, name_, ns_;
  LabelSelector labels_, annotations_;
};

}  // namespace slipway::cd::kustomize
