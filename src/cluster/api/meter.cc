// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/meter.h"

namespace slipway::api {

void Meter::count(std::string_view verb, std::string_view resource, int code) {
  if (metrics_ == nullptr) return;
  metrics_->counter("apiserver_request_total", "Requests by verb, resource and status", {{"verb", verb}, {"resource", resource}, {"code", std::to_string(code)}}).add();
}

void Meter::request(const Route& route, int code, std::chrono::nanoseconds took) {
  if (metrics_ == nullptr) return;
  // A name that is not served is one series, whatever a client asks for.
  const std::string resource = !route.is_resource || code == 404 ? "" : route.subresource.empty() ? route.plural : route.plural + "/" + route.subresource;
  count(route.verb, resource, code);
  metrics_->histogram("apiserver_request_duration_seconds", "How long requests took by verb and resource", {{"verb", route.verb}, {"resource", resource}})
      .observe(std::chrono::duration<double>(took).count());
}

void Meter::watches(std::size_t open) {
  if (metrics_ != nullptr) metrics_->gauge("apiserver_registered_watchers", "Watches that are open").set(static_cast<double>(open));
}

void Meter::sizes(const store::ObjectStore& store, const ResourceTable& resources) {
  if (metrics_ == nullptr) return;
  const store::Pinned pinned = store.pin();
  double bytes = 0;
  for (const ResourcePointer& one : resources.all()) {
    if (!one->stored || one->id.group == "events.k8s.io") continue;
    double count = 0;
    const std::string prefix = one->storage_prefix();
    pinned.objects.scan(prefix, [&](const std::string& key, const store::ObjectPointer& object) {
      if (!key.starts_with(prefix)) return false;
      ++count;
      bytes += static_cast<double>(object->value.size());
      return true;
    });
    metrics_->gauge("apiserver_storage_objects", "Stored objects by resource", {{"resource", one->qualified()}}).set(count);
  }
  metrics_->gauge("apiserver_storage_size_bytes", "Bytes of all stored objects").set(bytes);
}

}  // namespace slipway::api
