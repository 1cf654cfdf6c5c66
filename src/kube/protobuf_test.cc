// SPDX-License-Identifier: Apache-2.0
#include "kube/protobuf.h"

#include <doctest/doctest.h>

namespace slipway::kube {
namespace {

std::string field(int number, std::string_view bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) + std::string(bytes);
}
std::string number(int field_number, int value) { return std::string(1, static_cast<char>(field_number << 3)) + static_cast<char>(value); }
std::string envelope(std::string_view version, std::string_view kind, std::string_view raw) {
  return std::string("k8s\0", 4) + field(1, field(1, version) + field(2, kind)) + field(2, raw);
}

TEST_CASE("a ConfigMap in protobuf is read, and what Go writes of unset fields is left out") {
  const std::string raw = field(1, field(1, "a") + field(2, "") + field(8, "")) + field(2, field(1, "k") + field(2, "v"));
  CHECK(to_json(decode_protobuf(envelope("v1", "ConfigMap", raw)).value()) == R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}})");
}

TEST_CASE("zero replicas are a choice, and a port may be a number or a name") {
  const auto replicas = decode_protobuf(envelope("apps/v1", "Deployment", field(2, number(1, 0) + number(5, 0)))).value();
  CHECK(to_json(replicas["spec"]) == R"({"replicas":0})");
  const std::string ports = field(1, field(4, number(1, 0) + number(2, 80)) + number(3, 80)) + field(1, field(4, number(1, 1) + field(3, "web")));
  const auto service = decode_protobuf(envelope("v1", "Service", field(2, ports))).value();
  CHECK(to_json(service["spec"]["ports"]) == R"([{"targetPort":80,"port":80},{"targetPort":"web"}])");
}

TEST_CASE("every prefix of a message is refused or read, and never more than it says") {
  const std::string whole = envelope("v1", "Secret", field(1, field(1, "a")) + field(2, field(1, "k") + field(2, std::string("\0\1", 2))));
  CHECK(decode_protobuf(whole).value()["data"]["k"].as_string() == "AAE=");
  int read = 0;  // only the one that ends behind the type: an empty Secret
  for (std::size_t size = 0; size < whole.size(); ++size) read += decode_protobuf(std::string_view(whole).substr(0, size)).has_value() ? 1 : 0;
  CHECK(read == 1);
  CHECK(decode_protobuf(envelope("batch/v1", "Job", "")).error().code == ErrorCode::not_found);
  CHECK(!decode_protobuf("k8s\1junk"));
}

}  // namespace
}  // namespace slipway::kube
