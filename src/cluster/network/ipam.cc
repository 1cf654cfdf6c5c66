// SPDX-License-Identifier: Apache-2.0
#include "cluster/network/ipam.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"

namespace slipway::cluster {

bool AddressPool::is_taken(Ipv4 address) const {
  return std::ranges::any_of(owners_, [&](const auto& entry) { return entry.second == address; });
}

Result<Ipv4> AddressPool::reserve(const std::string& owner) {
  if (const auto found = owners_.find(owner); found != owners_.end()) return found->second;
  const std::uint64_t last = range_.size() < 4 ? 0 : range_.size() - 2;
  for (std::uint64_t tried = 2; tried <= last; ++tried) {
    if (next_ > last) next_ = 2;
    const Ipv4 address = range_.at(next_++);
    if (is_taken(address)) continue;
    owners_.emplace(owner, address);
    return address;
  }
  return fail(ErrorCode::no_space, fmt::format("every address of {} is taken", range_.to_string()));
}

void AddressPool::release(const std::string& owner) { owners_.erase(owner); }

std::string AddressPool::to_text() const {
  std::string text = fmt::format("next {}\n", next_);
  for (const auto& [owner, address] : owners_) text += fmt::format("{} {}\n", address.to_string(), owner);
  return text;
}

Result<AddressPool> AddressPool::parse(Ipv4Range range, std::string_view text) {
  AddressPool pool(range);
  for (const std::string_view line : split_lines(text)) {
    const auto words = split(line, ' ');
    if (words.size() != 2) return fail(ErrorCode::invalid, "the address book has a broken line");
    if (words[0] == "next") {
      pool.next_ = static_cast<std::uint64_t>(std::max<std::int64_t>(parse_int(words[1]).value_or(2), 2));
      continue;
    }
    const Ipv4 address = TRY(Ipv4::parse(words[0]));
    if (range.contains(address)) pool.owners_.emplace(words[1], address);  // else: the range was changed
  }
  return pool;
}

Result<std::unique_ptr<AddressBook>> AddressBook::open(Ipv4Range range, const std::string& file) {
  const std::string text = exists(file) ? TRY(read_file(file)) : std::string();
  AddressPool pool = TRY(at(AddressPool::parse(range, text), file));
  return std::unique_ptr<AddressBook>(new AddressBook(std::move(pool), file));
}

Result<> AddressBook::save(AddressPool next) {
  TRY(write_file_atomically(file_, next.to_text()));
  pool_ = std::move(next);
  return {};
}

Result<Ipv4> AddressBook::reserve(const std::string& owner) {
  const std::lock_guard lock(mutex_);
  if (const auto found = pool_.owners().find(owner); found != pool_.owners().end()) return found->second;
  AddressPool next = pool_;
  const Ipv4 address = TRY(next.reserve(owner));
  TRY(save(std::move(next)));
  return address;
}

Result<> AddressBook::release(const std::string& owner) {
  const std::lock_guard lock(mutex_);
  if (!pool_.owners().contains(owner)) return {};
  AddressPool next = pool_;
  next.release(owner);
  return save(std::move(next));
}

std::vector<std::string> AddressBook::owners() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [owner, address] : pool_.owners()) names.push_back(owner);
  return names;
}

}  // namespace slipway::cluster
