// SPDX-License-Identifier: Apache-2.0
// An OCI registry (distribution-spec 1.1) over the BlobStore and the names of the ImageStore: what is pushed here and
// what the node stores under this registry's name are the same images.
//
// Reads are open to whoever reaches the port; writes need a token. An upload lives in memory and a temporary file: after
// a restart it is unknown (404) and the client begins anew. Any thread; the destructor waits for what runs.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "base/executor.h"
#include "net/http.h"
#include "oci/image_store.h"

namespace slipway::oci {

struct RegistryConfig {
  std::string name;    // "127.0.0.1:5000": the registry part of the names of its images
  std::string folder;  // of its records of manifests; made where it is missing
  std::function<Result<>(std::string_view token)> may_write;
  std::uint64_t max_blob = 10ULL << 30;
  std::size_t max_uploads = 256;
  std::chrono::minutes upload_idle{60};
};

class Registry final {
 public:
  Registry(RegistryConfig config, ImageStore& images, Executor& executor);
  ~Registry();
  void handle(std::shared_ptr<net::Exchange> exchange);  // requests below /v2/
  // Every blob that a name or a pushed manifest reaches, referrers too: the roots of a collection. An error means that
  // nothing may be collected.
  Result<std::set<store::Digest>> roots() const;
  std::size_t uploads() const;

 private:
  struct Route {
    enum class Kind { base, catalog, tags, manifest, blob, start_upload, upload, referrers } kind = Kind::base;
    std::string repository, reference;  // reference: tag, digest or the upload's id
  };
  struct Upload;
  struct Stored {
    std::string bytes, media_type;
  };
  using Exchange = net::Exchange;

  static std::optional<Route> route_of(std::string_view path);
  bool refuse_unless_writer(Exchange& exchange) const;
  void serve(Exchange& exchange, const Route& route);
  void get_manifest(Exchange& exchange, const Route& route);
  bool answer_from_cache(Exchange& exchange, const Route& route);
  void put_manifest(Exchange& exchange, const Route& route);
  Result<> store_manifest(const Route& route, const std::string& bytes, std::string_view content_type, store::Digest& digest, std::string& subject);
  void delete_manifest(Exchange& exchange, const Route& route);
  void get_blob(Exchange& exchange, const Route& route);
  void start_upload(Exchange& exchange, const Route& route);
  void continue_upload(Exchange& exchange, const Route& route);
  void finish_upload(Exchange& exchange, const Route& route, Upload& upload);
  void list_tags(Exchange& exchange, const Route& route);
  void list_repositories(Exchange& exchange);
  void list_referrers(Exchange& exchange, const Route& route);
  void answer_page(Exchange& exchange, std::string_view path, std::string_view key, const std::set<std::string>& all, const std::string& name);
  Result<> receive(Exchange& exchange, Upload& upload);
  void sweep();
  Result<Reference> reference_of(const Route& route) const;
  Result<std::shared_ptr<const Stored>> stored(const store::Digest& digest);
  std::string record_folder(const std::string& repository) const;
  Result<std::vector<std::string>> recorded() const;  // the texts of all records

  const RegistryConfig config_;
  ImageStore& images_;
  store::BlobStore& blobs_;
  Executor& executor_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Upload>> uploads_;
  std::map<std::string, std::shared_ptr<const Stored>> cache_;  // of manifests by digest
  std::size_t cached_bytes_ = 0;
  std::vector<std::pair<std::shared_ptr<std::atomic<bool>>, std::unique_ptr<Task>>> tasks_;
};

}  // namespace slipway::oci
