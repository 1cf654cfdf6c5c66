// SPDX-License-Identifier: Apache-2.0
// Operations: the verbs on stored objects, from an authorized request to its reply: admission, defaults, validation,
// conditional write. Watches are in watches.h. Any thread.
#pragma once

#include "kube/apply.h"
#include "auth/identity.h"
#include "auth/tokens.h"
#include "base/random.h"
#include "cluster/api/addresses.h"
#include "cluster/api/api.h"
#include "cluster/api/resources.h"
#include "cluster/api/route.h"
#include "cluster/api/selectors.h"
#include "store/objects.h"

namespace slipway::api {

struct Request {
  auth::Identity identity;
  std::string method;
  net::Url url;
  Route route;
  std::string content_type, accept, body;
  bool checks_fields = false;  // over HTTP; a part of this program knows what it writes
  std::string_view param(std::string_view name) const { return url.param(name); }
};

struct Reply {
  int code = 200;
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::string> warnings;
};

class Operations final {
 public:
  Operations(store::ObjectStore& store, ResourceTable& resources, const Clock& clock, const ApiConfig& config,
             const auth::Authorizer& authorizer);

  Result<> prepare();  // tables and allocators from what is stored; the namespaces and Services that always exist
  Answer<Reply> run(const Request& request);
  Answer<ResourcePointer> resource_of(const Route& route) const;
  Answer<Json> read(const ResourceInfo& resource, std::string_view ns, std::string_view name) const;
  // Removes events that are older than an hour; how many.
  std::size_t expire_events();

 private:
  using Change = std::function<Answer<Json>(const Json& current)>;

  Answer<Reply> get(const Request& request, const ResourceInfo& resource);
  Answer<Reply> list(const Request& request, const ResourceInfo& resource);
  Answer<Reply> create(const Request& request, const ResourceInfo& resource);
  Answer<Reply> update(const Request& request, const ResourceInfo& resource);
  Answer<Reply> patch(const Request& request, const ResourceInfo& resource);
  Answer<Reply> apply(const Request& request, const ResourceInfo& resource);
  Answer<std::vector<std::string>> check_fields(const Request& request, const ResourceInfo& resource, const Json& object, const Json& before, const std::vector<std::string>& duplicates) const;
  kube::Applier writer_of(const Request& request, const ResourceInfo& resource) const;
  Answer<Reply> remove(const Request& request, const ResourceInfo& resource);
  Answer<Reply> remove_collection(const Request& request, const ResourceInfo& resource);
  Answer<Reply> scale(const Request& request, const ResourceInfo& resource);
  Answer<Reply> bind(const Request& request, const ResourceInfo& resource);
  Answer<Reply> mint_token(const Request& request, const ResourceInfo& resource);
  Answer<Reply> review(const Request& request, const ResourceInfo& resource);

  Answer<Json> create_object(const ResourceInfo& resource, Json object, const std::string& ns, bool dry_run);
  Answer<Json> admit_new(const ResourceInfo& resource, Json object, const std::string& ns);
  Answer<Json> admit_pod(Json pod);
  Answer<> check_namespace(const ResourceInfo& resource, std::string_view ns, const Json& object) const;
  Answer<Json> modify(const ResourceInfo& resource, const Route& route, std::string_view subresource, bool dry_run, const Change& change);
  Answer<Json> merged(const ResourceInfo& resource, const Json& current, Json wanted, std::string_view subresource);
  Answer<Json> remove_object(const ResourceInfo& resource, const Json& current, const Json& options, bool dry_run);
  Answer<Json> store_change(const ResourceInfo& resource, const Json& before, const Json& after);
  Answer<Json> erase(const ResourceInfo& resource, const Json& current);
  void after_change(const ResourceInfo& resource, const Json& before, const Json& after);
  void drop_objects_of(const Json& definition);
  void furnish_namespace(const std::string& name);
  std::string now() const;

  store::ObjectStore& store_;
  ResourceTable& resources_;
  const Clock& clock_;
  const ApiConfig& config_;
  const auth::Authorizer& authorizer_;
  SystemRandom random_;
  ServiceAddresses addresses_;
  std::mutex pins_mutex_;
  std::map<std::uint64_t, store::Pinned> pins_;  // of lists that go on
};

// The stored form and back.
store::Write to_write(const ResourceInfo& resource, const Json& object);
Json from_stored(const store::Object& object);
bool key_in_namespace(const ResourceInfo& resource, std::string_view key, std::string_view ns);
std::string list_prefix(const ResourceInfo& resource, std::string_view ns);
// Stored bytes as this version of the resource shows them (apiVersion may differ).
std::string shown(const ResourceInfo& resource, const store::Object& object);
Json as_shown(const ResourceInfo& resource, const store::Object& object);

}  // namespace slipway::api
