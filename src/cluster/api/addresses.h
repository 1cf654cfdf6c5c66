// SPDX-License-Identifier: Apache-2.0
// Cluster addresses (10.96.0.0/16) and node ports (30000 to 32767) of Services: none is given twice. Any thread.
//
// What is taken is what the stored Services name; the allocator is rebuilt from them, so that it needs no state of its own.
#pragma once

#include <mutex>
#include <set>

#include "cluster/api/failure.h"

namespace slipway::api {

class ServiceAddresses final {
 public:
  void occupy(const Json& service);   // at start
  void release(const Json& service);
  // Fills spec.clusterIP(s) and nodePorts; `before` (null at creation) keeps what it had. On a later failure give back
  // with give_back(result, before).
  Answer<Json> allocate(Json service, const Json& before);
  void give_back(const Json& service, const Json& before);

 private:
  Answer<std::string> take_address(const Json& service);
  Answer<std::int64_t> take_port(const Json& service, std::int64_t wanted);
  std::mutex mutex_;
  std::set<std::string> addresses_;
  std::set<std::int64_t> ports_;
  unsigned next_address_ = 256, next_port_ = 0;
};

}  // namespace slipway::api
