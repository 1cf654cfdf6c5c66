// SPDX-License-Identifier: Apache-2.0
// Results on stdout: tables, and -o json|yaml|name (C4). Text of outside never moves the cursor (T19).
#pragma once

#include "cli/command.h"
#include "text/json.h"

namespace slipway::cli {

using text::Json;

void print(std::string_view text);     // stdout, as it is
void progress(std::string_view text);  // stderr

class Table final {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;  // columns padded, three blanks between
 private:
  std::vector<std::vector<std::string>> rows_;
};

// One object or a list, in the format asked for; `table` where none is.
Result<> show(const Invocation& invocation, const std::vector<Json>& objects, bool as_list, const std::function<Table()>& table);

std::string age_of(const Json& object);  // "5m", from creationTimestamp

}  // namespace slipway::cli
