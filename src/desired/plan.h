// SPDX-License-Identifier: Apache-2.0
// From what should be and what is to what to do: pure.
//
// An object that another app owns is refused by name; one that nobody owns is adopted. Prune takes only what this app
// owns; an empty set, or one that has nothing in common with what the app owns, prunes nothing: a folder that was
// emptied by mistake must not take the service down.
#pragma once

#include "desired/set.h"

namespace slipway::desired {

struct Change {
  Json desired;
  std::string source;
  bool is_new = false;                   // nothing is there
  std::vector<std::string> differences;  // lines of diff()
};

struct Plan {
  std::vector<Change> apply;   // in order; what is as desired is not listed
  std::vector<Json> prune;     // live objects, in the opposite order
  std::vector<std::string> refused;  // "Service shop/web belongs to app other"
  std::string prune_held;      // why nothing is pruned, where something would be
};

enum class Prune { no, yes };

// `live`: the live object of each desired one, where there is one. `owned`: every live object with the app's label.
Plan plan(const Set& set, const std::map<ObjectId, Json>& live, const std::vector<Json>& owned, std::string_view app, Prune prune);

}  // namespace slipway::desired
