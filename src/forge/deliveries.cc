// SPDX-License-Identifier: Apache-2.0
#include "forge/deliveries.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/digest.h"
#include "base/strings.h"
#include "text/json.h"

namespace slipway::forge {
namespace {

using text::Json;

constexpr std::size_t max_file = 512 * 1024 * 1024;
constexpr std::size_t spare_bytes = 16 * 1024 * 1024;  // written before the file is made anew

std::int64_t seconds_of(Wall time) { return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count(); }

std::vector<std::string> marks_of(const Delivery& delivery) {
  std::vector<std::string> out{sha256_hex(fmt::format("id {} {}", name_of(delivery.provider), delivery.id)).substr(0, 32)};
  if (!delivery.body_digest.empty()) out.push_back("b" + delivery.body_digest.substr(0, 32));
  return out;
}

Json json_of(const Delivery& delivery) {
  std::vector<Json> changes;
  for (const RefChange& one : delivery.changes) changes.push_back(Json::object({{"ref", one.ref}, {"before", one.before}, {"after", one.after}}));
  return Json::object({{"namespace", delivery.repository.ns}, {"repository", delivery.repository.name}, {"provider", name_of(delivery.provider)}, {"id", delivery.id},
                       {"body", delivery.body_digest}, {"at", seconds_of(delivery.arrived)}, {"changes", Json::array(std::move(changes))}});
}

std::optional<Delivery> delivery_of(const Json& value) {
  auto repository = source::RepositoryName::parse(value["namespace"].as_string(), value["repository"].as_string());
  const auto provider = provider_of(value["provider"].as_string());
  if (!repository || !provider) return std::nullopt;
  Delivery out{.repository = std::move(*repository), .provider = *provider, .id = value["id"].str(), .body_digest = value["body"].str()};
  out.arrived = Wall(std::chrono::seconds(value["at"].as_int()));
  for (const Json& one : value["changes"].items()) out.changes.push_back({one["ref"].str(), one["before"].str(), one["after"].str()});
  return out;
}

}  // namespace

Result<std::unique_ptr<Deliveries>> Deliveries::open(const std::string& folder, const Clock& clock) {
  TRY(make_folders(folder, 0700));
  std::unique_ptr<Deliveries> out(new Deliveries(folder + "/deliveries.jsonl", clock));
  if (exists(out->path_)) out->load(TRY(read_file(out->path_, max_file)));
  TRY(out->compact());
  return out;
}

// A line that was cut short by a crash was never acknowledged: it is passed over.
void Deliveries::load(std::string_view text) {
  for (const auto line : split_lines(text)) {
    const auto value = text::parse_json(line);
    if (!value) continue;
    const auto repository = source::RepositoryName::parse((*value)["namespace"].as_string(), (*value)["repository"].as_string());
    if (repository && (*value)["marks"].is_array()) {
      load_marks(seen_[*repository], (*value)["marks"]);
      continue;
    }
    const bool settles = (*value)["settled"].is_bool();
    const auto delivery = settles ? std::nullopt : delivery_of(*value);
    if (delivery) take(*delivery);
    if (!settles) continue;
    const auto found = repository ? seen_.find(*repository) : seen_.end();
    if (found == seen_.end()) continue;
    pending_ -= std::erase_if(found->second.pending, [&](const Delivery& one) {
      return std::ranges::any_of((*value)["ids"].items(), [&](const Json& id) { return id.as_string() == one.id; });
    });
  }
}

void Deliveries::load_marks(Seen& seen, const Json& rows) {
  for (const Json& row : rows.items()) {
    std::vector<std::string> marks;
    for (std::size_t i = 1; i < row.size(); ++i) marks.push_back(row[i].str());
    seen.marks.insert(marks.begin(), marks.end());
    seen.by_age.emplace_back(Wall(std::chrono::seconds(row[0].as_int())), std::move(marks));
  }
}

void Deliveries::take(const Delivery& delivery) {
  Seen& seen = seen_[delivery.repository];
  auto marks = marks_of(delivery);
  // A file that was made anew holds the marks of what is pending apart.
  if (!seen.marks.contains(marks.front())) {
    seen.marks.insert(marks.begin(), marks.end());
    seen.by_age.emplace_back(delivery.arrived, std::move(marks));
  }
  if (seen.pending.size() >= max_pending || pending_ >= max_pending_of_all) return;
  ++pending_;
  seen.pending.push_back(delivery);
  seen.pending.back().sequence = next_++;
}

void Deliveries::expire(Seen& seen) const {
  const Wall limit = clock_.now() - remembered;
  auto end = seen.by_age.begin();
  for (; end != seen.by_age.end() && end->first <= limit; ++end)
    for (const std::string& mark : end->second) seen.marks.erase(mark);
  seen.by_age.erase(seen.by_age.begin(), end);
}

Result<> Deliveries::append(const std::string& line) {
  if (!file_) TRY(compact());  // the last write failed: what is on the disk is not known
  auto written = write_all(file_.get(), line);
  if (written && ::fdatasync(file_.get()) != 0) written = fail_errno("cannot write", path_);
  if (!written) file_.reset();
  else bytes_ += line.size();
  return written;
}

// The file anew, with what still counts: the day's marks (as deliveries without changes) and what is pending.
Result<> Deliveries::compact() {
  std::string text;
  for (auto& [repository, seen] : seen_) {
    expire(seen);
    std::vector<Json> marks;
    for (const auto& [at, of_one] : seen.by_age) {
      std::vector<Json> row{seconds_of(at)};
      for (const std::string& mark : of_one) row.emplace_back(mark);
      marks.push_back(Json::array(std::move(row)));
    }
    if (!marks.empty()) text += text::to_json(Json::object({{"namespace", repository.ns}, {"repository", repository.name}, {"marks", Json::array(std::move(marks))}})) + "\n";
    for (const Delivery& one : seen.pending) text += text::to_json(json_of(one)) + "\n";
  }
  TRY(write_file_atomically(path_, text, 0600));
  UniqueFd file(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!file) return fail_errno("cannot open", path_);
  file_ = std::move(file);
  compacted_bytes_ = bytes_ = text.size();
  return {};
}

Result<> Deliveries::record(Delivery delivery) {
  const std::lock_guard lock(mutex_);
  delivery.arrived = clock_.now();
  Seen& seen = seen_[delivery.repository];
  expire(seen);
  for (const std::string& mark : marks_of(delivery))
    if (seen.marks.contains(mark)) return fail(ErrorCode::already_exists, "this delivery was received before");
  if (seen.by_age.size() >= max_remembered) return fail(ErrorCode::throttled, fmt::format("more than {} deliveries within a day; polling goes on", max_remembered));
  if (bytes_ > compacted_bytes_ * 2 + spare_bytes) TRY(compact());
  TRY(append(text::to_json(json_of(delivery)) + "\n"));
  take(delivery);
  return {};
}

std::vector<Delivery> Deliveries::pending(const source::RepositoryName& repository) const {
  const std::lock_guard lock(mutex_);
  const auto found = seen_.find(repository);
  return found == seen_.end() ? std::vector<Delivery>{} : found->second.pending;
}

void Deliveries::settle(const source::RepositoryName& repository, const std::vector<std::uint64_t>& sequences) {
  const std::lock_guard lock(mutex_);
  const auto found = seen_.find(repository);
  if (found == seen_.end() || sequences.empty()) return;
  std::vector<Json> ids;
  std::erase_if(found->second.pending, [&](const Delivery& one) {
    const bool settled = std::ranges::find(sequences, one.sequence) != sequences.end();
    if (settled) ids.emplace_back(one.id), --pending_;
    return settled;
  });
  const std::string line = text::to_json(Json::object({{"namespace", repository.ns}, {"repository", repository.name}, {"settled", true}, {"ids", Json::array(std::move(ids))}})) + "\n";
  if (file_ && write_all(file_.get(), line)) bytes_ += line.size();
  else file_.reset();
}

void Deliveries::forget(const source::RepositoryName& repository) {
  const std::lock_guard lock(mutex_);
  const auto found = seen_.find(repository);
  if (found == seen_.end()) return;
  pending_ -= found->second.pending.size();
  seen_.erase(found);
  if (!compact()) file_.reset();
}

}  // namespace slipway::forge
