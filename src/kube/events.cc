// SPDX-License-Identifier: Apache-2.0
#include "kube/events.h"

#include <fmt/format.h>

#include "base/digest.h"

namespace slipway::kube {
namespace {
constexpr std::size_t max_known = 4096;
constexpr std::size_t max_message = 1024;
}  // namespace

void EventRecorder::record(const Json& about, std::string_view type, std::string_view reason, std::string message, std::string_view part) {
  if (message.size() > max_message) message.resize(max_message);
  const Json& metadata = about["metadata"];
  const std::string ns = metadata["namespace"].str("default");
  const std::string stamp = format_rfc3339(clock_.now());
  const std::string what = fmt::format("{}/{}/{}/{}/{}", metadata["uid"].as_string(), part, type, reason, message);
  std::string name;
  std::int64_t count = 1;
  {
    const std::lock_guard lock(mutex_);
    if (known_.size() > max_known) known_.clear();
    auto& [known_name, known_count] = known_[what];
    if (known_name.empty()) known_name = fmt::format("{}.{}", metadata["name"].as_string().substr(0, 230), sha256_hex(what + stamp).substr(0, 16));
    name = known_name;
    count = ++known_count;
  }
  if (count > 1) {
    const Json patch = Json::object({{"count", count}, {"lastTimestamp", stamp}});
    if (client_.patch(resources::events, {ns, name}, PatchType::merge, patch)) return;
  }
  Json involved = Json::object({{"apiVersion", about["apiVersion"]}, {"kind", about["kind"]}, {"name", metadata["name"]},
                                      {"namespace", metadata["namespace"]}, {"uid", metadata["uid"]}, {"resourceVersion", metadata["resourceVersion"]}});
  if (!part.empty()) involved = involved.with("fieldPath", part);
  (void)client_.create(
      resources::events,
      Json::object({{"apiVersion", "v1"}, {"kind", "Event"}, {"metadata", Json::object({{"name", name}, {"namespace", ns}})},
                    {"involvedObject", involved}, {"reason", reason}, {"message", message}, {"type", type}, {"count", 1},
                    {"firstTimestamp", stamp}, {"lastTimestamp", stamp}, {"source", Json::object({{"component", component_}})},
                    {"reportingComponent", component_}, {"reportingInstance", ""}}));
}

}  // namespace slipway::kube
