// SPDX-License-Identifier: Apache-2.0
#include "kube/protobuf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <map>

#include "base/clock.h"
#include "base/strings.h"
#include "kube/protobuf_fields.h"

namespace slipway::kube {
namespace {

using text::Json;

constexpr int deepest = 60;

enum class Repeats { no, list, map };

struct Field {
  std::string name;
  char type = 's';
  std::string message;  // of type M
  Repeats repeats = Repeats::no;
};
using Message = std::map<std::uint64_t, Field>;

// Fields whose zero is a choice and not merely unset.
constexpr std::string_view meaningful_zero[] = {
    "replicas", "revisionHistoryLimit", "progressDeadlineSeconds", "terminationGracePeriodSeconds", "activeDeadlineSeconds", "runAsUser", "runAsGroup", "fsGroup",
    "gracePeriodSeconds", "defaultMode", "mode", "expirationSeconds", "tolerationSeconds", "priority", "leaseDurationSeconds", "automountServiceAccountToken",
    "enableServiceLinks", "controller", "blockOwnerDeletion", "allowPrivilegeEscalation", "privileged", "readOnlyRootFilesystem", "runAsNonRoot", "immutable",
    "optional", "shareProcessNamespace", "hostUsers", "serving", "terminating", "setHostnameAsFQDN", "orphanDependents", "allocateLoadBalancerNodePorts"};
// Messages whose fields stand in JSON where the message would.
constexpr std::string_view inlined[] = {"volumeSource", "handler", "localObjectReference", "ephemeralContainerCommon"};

template <std::size_t N>
bool is_one_of(const std::string_view (&words)[N], std::string_view word) {
  return std::ranges::find(words, word) != std::end(words);
}

Field parse_field(std::string_view name, std::string_view type) {
  Field out{std::string(name), 's', {}, Repeats::no};
  if (type.ends_with('*')) out.repeats = Repeats::list;
  if (type.ends_with('%')) out.repeats = Repeats::map;
  if (out.repeats != Repeats::no) type.remove_suffix(1);
  out.type = type[0];
  out.message = type.substr(1);
  return out;
}

std::map<std::string, Message, std::less<>> parse_table() {
  std::map<std::string, Message, std::less<>> out;
  for (unsigned long i = 0; i < protobuf_message_count; ++i) {
    const auto words = split(protobuf_messages[i], ' ');
    Message& message = out[std::string(words[0])];
    for (std::size_t word = 1; word < words.size(); ++word) {
      const auto parts = split(words[word], ':');
      message[static_cast<std::uint64_t>(parse_int(parts[0]).value_or(0))] = parse_field(parts[1], parts[2]);
    }
  }
  return out;
}

const Message* message_named(std::string_view name) {
  static const auto table = parse_table();
  const auto found = table.find(name);
  return found == table.end() ? nullptr : &found->second;
}

// One value on the wire: a number, or bytes.
struct Wire {
  std::uint64_t field = 0, number = 0;
  std::string_view bytes;
  bool is_bytes = false;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool at_end() const { return rest_.empty(); }

  Result<Wire> next() {
    Wire out;
    const std::uint64_t tag = TRY(varint());
    out.field = tag >> 3U;
    switch (tag & 7U) {
      case 0: out.number = TRY(varint()); return out;
      case 1: return fixed(out, 8);
      case 5: return fixed(out, 4);
      case 2: {
        const std::uint64_t size = TRY(varint());
        if (size > rest_.size()) return cut();
        out.bytes = rest_.substr(0, size);
        out.is_bytes = true;
        rest_.remove_prefix(size);
        return out;
      }
      default: return fail(ErrorCode::invalid, "a protobuf field of an unknown wire type");
    }
  }

 private:
  static std::unexpected<Error> cut() { return fail(ErrorCode::invalid, "the protobuf message ends too early"); }

  Result<std::uint64_t> varint() {
    std::uint64_t out = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (rest_.empty()) return cut();
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      if (shift < 64) out |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if ((byte & 0x80U) == 0) return out;
    }
    return fail(ErrorCode::invalid, "a protobuf number of more than ten bytes");
  }

  Result<Wire> fixed(Wire out, std::size_t size) {
    if (rest_.size() < size) return cut();
    std::memcpy(&out.number, rest_.data(), size);
    rest_.remove_prefix(size);
    return out;
  }

  std::string_view rest_;
};

// Seconds and nanoseconds.
Result<Json> decode_time(std::string_view bytes, bool micro) {
  if (bytes.empty()) return Json();
  std::int64_t seconds = 0, nanos = 0;
  for (Reader reader(bytes); !reader.at_end();) {
    const Wire wire = TRY(reader.next());
    if (wire.field == 1) seconds = static_cast<std::int64_t>(wire.number);
    if (wire.field == 2) nanos = static_cast<std::int64_t>(wire.number);
  }
  constexpr std::int64_t year_9999 = 253402300799;
  if (seconds < -62135596800 || seconds > year_9999 || nanos < 0 || nanos > 999'999'999) return fail(ErrorCode::invalid, "a time out of range");
  if (std::abs(seconds) > 9'000'000'000) return fail(ErrorCode::invalid, "a time out of range");  // of the system's clock
  const Wall at = Wall(std::chrono::seconds(seconds)) + std::chrono::duration_cast<Wall::duration>(std::chrono::nanoseconds(nanos));
  return Json(micro ? format_rfc3339_micro(at) : format_rfc3339(at));
}

Result<Json> decode_int_or_string(std::string_view bytes) {
  std::uint64_t kind = 0;
  Json number = 0, text = "";
  for (Reader reader(bytes); !reader.at_end();) {
    const Wire wire = TRY(reader.next());
    if (wire.field == 1) kind = wire.number;
    if (wire.field == 2) number = std::int64_t{static_cast<std::int32_t>(wire.number)};
    if (wire.field == 3) text = Json(wire.bytes);
  }
  return kind == 0 ? number : text;
}

// The strings or bytes in field 1 of a wrapper.
Result<std::vector<std::string>> decode_wrapped(std::string_view bytes) {
  std::vector<std::string> out;
  for (Reader reader(bytes); !reader.at_end();)
    if (const Wire wire = TRY(reader.next()); wire.field == 1 && wire.is_bytes) out.emplace_back(wire.bytes);
  return out;
}

Result<Json> decode_message(std::string_view name, std::string_view bytes, int depth);

Result<Json> decode_value(const Field& field, const Wire& wire, int depth) {
  const bool numeric = field.type == 'i' || field.type == 'b' || field.type == 'd';
  if (numeric == wire.is_bytes) return fail(ErrorCode::invalid, fmt::format("field {} has another type", field.name));
  switch (field.type) {
    case 'i': return Json(static_cast<std::int64_t>(wire.number));
    case 'b': return Json(wire.number != 0);
    case 'd': return Json(std::bit_cast<double>(wire.number));
    case 'y': return Json(to_base64(wire.bytes));
    case 't': return decode_time(wire.bytes, false);
    case 'u': return decode_time(wire.bytes, true);
    case 'o': return decode_int_or_string(wire.bytes);
    case 'x': return Json::strings(TRY(decode_wrapped(wire.bytes)));
    case 'q': {
      const auto parts = TRY(decode_wrapped(wire.bytes));
      return Json(parts.empty() ? "0" : parts[0]);
    }
    case 'r': {
      const auto parts = TRY(decode_wrapped(wire.bytes));
      return parts.empty() ? Json() : TRY(text::parse_json(parts[0]));
    }
    case 'M': return decode_message(field.message, wire.bytes, depth + 1);
    default: return Json(wire.bytes);
  }
}

bool is_unset(const Field& field, const Json& value) {
  if (value.is_null()) return true;
  if (is_one_of(meaningful_zero, field.name)) return false;
  return (value.is_string() && value.as_string().empty()) || (value.is_int() && value.as_int() == 0) || (value.is_bool() && !value.as_bool());
}

Result<std::pair<std::string, Json>> decode_entry(const Field& field, std::string_view bytes, int depth) {
  std::pair<std::string, Json> out;
  Field plain = field;
  plain.repeats = Repeats::no;
  out.second = field.type == 's' || field.type == 'y' ? Json("") : Json();
  for (Reader reader(bytes); !reader.at_end();) {
    const Wire wire = TRY(reader.next());
    if (wire.field == 1 && wire.is_bytes) out.first = wire.bytes;
    if (wire.field == 2) out.second = TRY(decode_value(plain, wire, depth));
  }
  return out;
}

// Lists and maps grow in vectors: an immutable value would be copied for each item.
Result<Json> decode_message(std::string_view name, std::string_view bytes, int depth) {
  const Message* message = message_named(name);
  if (message == nullptr) return fail(ErrorCode::not_found, fmt::format("protobuf message {} is not known here", name));
  if (depth > deepest) return fail(ErrorCode::invalid, "the protobuf message is nested too deeply");
  Json out = Json::object();
  std::map<std::string, std::vector<Json>> lists;
  std::map<std::string, std::vector<text::JsonMember>> maps;
  for (Reader reader(bytes); !reader.at_end();) {
    const Wire wire = TRY(reader.next());
    const auto known = message->find(wire.field);
    if (known == message->end()) continue;
    const Field& field = known->second;
    if (field.repeats == Repeats::list) {
      lists[field.name].push_back(TRY(decode_value(field, wire, depth)));
    } else if (field.repeats == Repeats::map) {
      auto entry = TRY(decode_entry(field, wire.bytes, depth));
      maps[field.name].emplace_back(entry.first, std::move(entry.second));
    } else {
      const Json value = TRY(decode_value(field, wire, depth));
      if (is_one_of(inlined, field.name))
        for (const auto& member : value.members()) out = out.with(member.key(), member.value);
      else if (!is_unset(field, value)) out = out.with(field.name, value);
    }
  }
  for (auto& [key, items] : lists) out = out.with(key, Json::array(std::move(items)));
  for (auto& [key, members] : maps) out = out.with(key, Json::object(std::move(members)));
  return out;
}

std::string message_of(std::string_view api_version, std::string_view kind) {
  if (kind == "DeleteOptions") return "meta.DeleteOptions";
  const std::size_t slash = api_version.find('/');
  if (slash == api_version.npos) return fmt::format("core.{}", kind);
  return fmt::format("{}.{}", api_version.substr(0, std::min(slash, api_version.find('.'))), kind);
}

}  // namespace

Result<Json> decode_protobuf(std::string_view bytes) {
  constexpr std::string_view magic("k8s\0", 4);
  if (!bytes.starts_with(magic)) return fail(ErrorCode::invalid, "the body does not begin as Kubernetes' protobuf does");
  std::string api_version, kind;
  std::string_view raw;
  for (Reader reader(bytes.substr(magic.size())); !reader.at_end();) {
    const Wire wire = TRY(reader.next());
    if (wire.field == 2 && wire.is_bytes) raw = wire.bytes;
    if (wire.field != 1 || !wire.is_bytes) continue;
    for (Reader type(wire.bytes); !type.at_end();) {
      const Wire part = TRY(type.next());
      if (part.field == 1) api_version = part.bytes;
      if (part.field == 2) kind = part.bytes;
    }
  }
  const Json body = TRY(decode_message(message_of(api_version, kind), raw, 0));
  Json out = Json::object({{"apiVersion", api_version}, {"kind", kind}});
  for (const auto& member : body.members()) out = out.with(member.key(), member.value);
  return out;
}

}  // namespace slipway::kube
