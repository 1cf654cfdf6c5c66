// SPDX-License-Identifier: Apache-2.0
// Which pod has which address. The pool is pure; AddressBook keeps it in a file, so that a pod has its address for its
// whole life, also across a kill of the agent.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sandbox/netlink.h"

namespace slipway::cluster {

using sandbox::Ipv4;
using sandbox::Ipv4Range;

// Addresses are given in turn, not lowest first: one that was just released may still be in somebody's tables.
class AddressPool {
 public:
  // The network's own address, the gateway (the first) and the broadcast address are never given.
  explicit AddressPool(Ipv4Range range) : range_(range) {}
  Result<Ipv4> reserve(const std::string& owner);  // the same answer for the same owner; no_space when all are taken
  void release(const std::string& owner);
  const std::map<std::string, Ipv4>& owners() const { return owners_; }

  std::string to_text() const;
  static Result<AddressPool> parse(Ipv4Range range, std::string_view text);

 private:
  bool is_taken(Ipv4 address) const;
  Ipv4Range range_;
  std::map<std::string, Ipv4> owners_;
  std::uint64_t next_ = 2;
};

// Any thread.
class AddressBook final {
 public:
  static Result<std::unique_ptr<AddressBook>> open(Ipv4Range range, const std::string& file);
  Result<Ipv4> reserve(const std::string& owner);
  Result<> release(const std::string& owner);
  std::vector<std::string> owners() const;

 private:
  AddressBook(AddressPool pool, std::string file) : pool_(std::move(pool)), file_(std::move(file)) {}
  Result<> save(AddressPool next);
  mutable std::mutex mutex_;
  AddressPool pool_;
  std::string file_;
};

}  // namespace slipway::cluster
