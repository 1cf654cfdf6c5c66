// SPDX-License-Identifier: Apache-2.0
#include "text/json.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>

#include "text/json_builder.h"

namespace slipway::text {

// What follows a Node in the same block: the bytes of a string; the items of an array; the members of an object and,
// where it has more than kIndexFrom, their positions in the order of their keys (no hash, so nothing to flood).
struct Json::Node {
  std::atomic<std::uint32_t> references{1};
  std::uint32_t size = 0;

  char* text() { return reinterpret_cast<char*>(this + 1); }
  Json* items() { return reinterpret_cast<Json*>(this + 1); }
  JsonMember* members() { return reinterpret_cast<JsonMember*>(this + 1); }
  std::uint32_t* index() { return reinterpret_cast<std::uint32_t*>(members() + size); }
};

namespace {

constexpr std::size_t kInlineBytes = 14;
constexpr std::size_t kLengthAt = 14;
constexpr std::size_t kTagAt = 15;
constexpr std::size_t kIndexFrom = 16;
constexpr int kDestroyDepth = 128;  // nested deeper, the rest is freed from a list

enum Tag : unsigned char {
  kNull,
  kFalse,
  kTrue,
  kInteger,
  kUnsigned,
  kFloating,
  kShortString,
  kString,
  kArray,
  kObject
};

bool on_heap(unsigned char tag) { return tag >= kString; }

template <class T>
T load(const unsigned char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <class T>
void store(unsigned char* bytes, T value, Tag tag) {
  std::memset(bytes, 0, kTagAt);
  std::memcpy(bytes, &value, sizeof value);
  bytes[kTagAt] = tag;
}

Json::Node* new_node(std::size_t size, std::size_t payload) {
  if (size > UINT32_MAX) std::abort();  // no input limit lets it come to this
  void* memory = std::malloc(sizeof(Json::Node) + payload);
  if (memory == nullptr) std::abort();
  auto* node = new (memory) Json::Node;
  node->size = static_cast<std::uint32_t>(size);
  return node;
}

Json::Node* new_object_node(std::size_t size) {
  return new_node(size, size * sizeof(JsonMember) + (size > kIndexFrom ? size * sizeof(std::uint32_t) : 0));
}

std::span<std::uint32_t> index_of(Json::Node* node) {
  return {node->index(), node->size > kIndexFrom ? node->size : 0u};
}

void build_index(Json::Node* node) {
  const auto index = index_of(node);
  std::iota(index.begin(), index.end(), 0u);
  const JsonMember* members = node->members();
  std::ranges::sort(index, {}, [members](std::uint32_t at) { return members[at].key(); });
}

std::size_t find_member(Json::Node* node, std::string_view key) {
  const JsonMember* members = node->members();
  if (node->size <= kIndexFrom) {
    for (std::size_t i = 0; i < node->size; ++i)
      if (members[i].key() == key) return i;
    return node->size;
  }
  const auto index = index_of(node);
  const auto found =
      std::ranges::lower_bound(index, key, {}, [members](std::uint32_t at) { return members[at].key(); });
  return found != index.end() && members[*found].key() == key ? *found : node->size;
}

struct Dead {
  Json::Node* node;
  unsigned char tag;
};
thread_local int destroy_depth = 0;
thread_local std::vector<Dead>* destroy_later = nullptr;

void free_node(Dead dead) noexcept {
  if (dead.tag == kArray) std::destroy_n(dead.node->items(), dead.node->size);
  if (dead.tag == kObject) std::destroy_n(dead.node->members(), dead.node->size);
  std::free(dead.node);
}

// Freed by recursion while that is shallow (the usual case needs no list), from a list below.
void destroy_node(Dead dead) noexcept {
  if (destroy_depth >= kDestroyDepth) return destroy_later->push_back(dead);
  if (dead.tag == kString) return std::free(dead.node);
  if (destroy_depth > 0) {
    ++destroy_depth;
    free_node(dead);
    --destroy_depth;
    return;
  }
  std::vector<Dead> later;
  destroy_later = &later;
  destroy_depth = 1;
  free_node(dead);
  while (!later.empty()) {
    const Dead next = later.back();
    later.pop_back();
    free_node(next);
  }
  destroy_depth = 0;
  destroy_later = nullptr;
}

const Json& null_value() {
  static const Json value;
  return value;
}

}  // namespace

Json::Json() noexcept { std::memset(bytes_, 0, sizeof bytes_); }
Json::Json(bool value) noexcept : Json() { bytes_[kTagAt] = value ? kTrue : kFalse; }
Json::Json(std::int64_t value) noexcept { store(bytes_, value, kInteger); }
Json::Json(double value) noexcept { store(bytes_, value, kFloating); }
Json::Json(std::uint64_t value) noexcept { store(bytes_, value, value > INT64_MAX ? kUnsigned : kInteger); }

Json::Json(std::string_view text) : Json() {
  if (text.size() <= kInlineBytes) {
    if (!text.empty()) std::memcpy(bytes_, text.data(), text.size());
    bytes_[kLengthAt] = static_cast<unsigned char>(text.size());
    bytes_[kTagAt] = kShortString;
    return;
  }
  Node* node = new_node(text.size(), text.size());
  std::memcpy(node->text(), text.data(), text.size());
  store(bytes_, node, kString);
}

Json::Json(const Json& other) noexcept {
  std::memcpy(bytes_, other.bytes_, sizeof bytes_);
  if (on_heap(bytes_[kTagAt])) load<Node*>(bytes_)->references.fetch_add(1, std::memory_order_relaxed);
}

Json::Json(Json&& other) noexcept {
  std::memcpy(bytes_, other.bytes_, sizeof bytes_);
  other.bytes_[kTagAt] = kNull;
}

Json& Json::operator=(Json other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

Json::~Json() {
  if (!on_heap(bytes_[kTagAt])) return;
  Node* node = load<Node*>(bytes_);
  if (node->references.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy_node({node, bytes_[kTagAt]});
}

Json JsonBuilder::container(Json::Node* node, Json::Kind kind) {
  Json value;
  store(value.bytes_, node, kind == Json::Kind::array ? kArray : kObject);
  return value;
}

Json JsonBuilder::array(std::span<Json> moved) {
  Json::Node* node = new_node(moved.size(), moved.size_bytes());
  std::uninitialized_move(moved.begin(), moved.end(), node->items());
  return container(node, Json::Kind::array);
}

Json JsonBuilder::distinct_object(std::span<JsonMember> moved) {
  Json::Node* node = new_object_node(moved.size());
  std::uninitialized_move(moved.begin(), moved.end(), node->members());
  build_index(node);
  return container(node, Json::Kind::object);
}

namespace {

// The position of each member's first namesake (its own where it is the first).
std::vector<std::uint32_t> first_namesakes(std::span<const JsonMember> members) {
  std::vector<std::uint32_t> order(members.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, {}, [&](std::uint32_t at) { return members[at].key(); });
  std::vector<std::uint32_t> first(members.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool repeats = i > 0 && members[order[i]].key() == members[order[i - 1]].key();
    first[order[i]] = repeats ? first[order[i - 1]] : order[i];
  }
  return first;
}

bool has_duplicates(std::span<const JsonMember> members) {
  if (members.size() > kIndexFrom) return true;  // not known: the sort tells
  for (std::size_t i = 1; i < members.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (members[i].key() == members[j].key()) return true;
  return false;
}

}  // namespace

Json JsonBuilder::object(std::span<JsonMember> moved, std::vector<std::string>* duplicates) {
  if (!has_duplicates(moved)) return distinct_object(moved);
  const auto first = first_namesakes(moved);
  std::vector<JsonMember> kept;
  std::vector<std::size_t> place(moved.size());
  kept.reserve(moved.size());
  for (std::size_t i = 0; i < moved.size(); ++i) {
    if (first[i] == i) {
      place[i] = kept.size();
      kept.push_back(std::move(moved[i]));
      continue;
    }
    if (duplicates != nullptr) duplicates->emplace_back(moved[i].key());
    kept[place[first[i]]].value = std::move(moved[i].value);
  }
  return distinct_object(kept);
}

Json Json::array(std::vector<Json> items) { return JsonBuilder::array(items); }

Json Json::object(std::vector<JsonMember> members) { return JsonBuilder::object(members); }

Json Json::object(Object members) {
  std::vector<JsonMember> list;
  list.reserve(members.size());
  for (const auto& [key, value] : members) list.emplace_back(key, value);
  return JsonBuilder::object(list);
}

Json Json::strings(std::span<const std::string> items) {
  std::vector<Json> list(items.begin(), items.end());
  return JsonBuilder::array(list);
}

Json::Kind Json::kind() const noexcept {
  static constexpr Kind kinds[] = {Kind::null,     Kind::boolean, Kind::boolean, Kind::integer, Kind::integer,
                                   Kind::floating, Kind::string,  Kind::string,  Kind::array,   Kind::object};
  return kinds[bytes_[kTagAt]];
}

bool Json::as_bool(bool fallback) const noexcept { return is_bool() ? bytes_[kTagAt] == kTrue : fallback; }

std::int64_t Json::as_int(std::int64_t fallback) const noexcept {
  return bytes_[kTagAt] == kInteger ? load<std::int64_t>(bytes_) : fallback;
}

bool Json::is_unsigned_beyond_int64() const noexcept { return bytes_[kTagAt] == kUnsigned; }

std::uint64_t Json::as_uint(std::uint64_t fallback) const noexcept {
  if (bytes_[kTagAt] == kUnsigned) return load<std::uint64_t>(bytes_);
  const std::int64_t value = as_int(-1);
  return value >= 0 ? static_cast<std::uint64_t>(value) : fallback;
}

double Json::as_double(double fallback) const noexcept {
  switch (bytes_[kTagAt]) {
    case kFloating:
      return load<double>(bytes_);
    case kInteger:
      return static_cast<double>(load<std::int64_t>(bytes_));
    case kUnsigned:
      return static_cast<double>(load<std::uint64_t>(bytes_));
    default:
      return fallback;
  }
}

std::string_view Json::as_string(std::string_view fallback) const& noexcept {
  if (bytes_[kTagAt] == kShortString) return {reinterpret_cast<const char*>(bytes_), bytes_[kLengthAt]};
  if (bytes_[kTagAt] != kString) return fallback;
  Node* node = load<Node*>(bytes_);
  return {node->text(), node->size};
}

std::size_t Json::size() const noexcept { return bytes_[kTagAt] >= kArray ? load<Node*>(bytes_)->size : 0; }

std::span<const Json> Json::items() const noexcept {
  if (!is_array()) return {};
  return {load<Node*>(bytes_)->items(), size()};
}

std::span<const JsonMember> Json::members() const noexcept {
  if (!is_object()) return {};
  return {load<Node*>(bytes_)->members(), size()};
}

const Json* Json::find(std::string_view key) const noexcept {
  if (!is_object()) return nullptr;
  Node* node = load<Node*>(bytes_);
  const std::size_t at = find_member(node, key);
  return at < node->size ? &node->members()[at].value : nullptr;
}

const Json& Json::operator[](std::string_view key) const noexcept {
  const Json* found = find(key);
  return found != nullptr ? *found : null_value();
}

const Json& Json::operator[](std::size_t index) const noexcept {
  const auto list = items();
  return index < list.size() ? list[index] : null_value();
}

const Json& Json::at_path(std::initializer_list<std::string_view> keys) const noexcept {
  const Json* value = this;
  for (const auto key : keys) value = &(*value)[key];
  return *value;
}

Json Json::with(std::string_view key, Json value) const {
  if (!is_object() && !is_null()) std::abort();
  const auto old = members();
  Node* old_node = is_object() ? load<Node*>(bytes_) : nullptr;
  const std::size_t at = old_node != nullptr ? find_member(old_node, key) : 0;
  const std::size_t size = std::max(old.size(), at + 1);
  Node* node = new_object_node(size);
  JsonMember* out = node->members();
  std::uninitialized_copy(old.begin(), old.end(), out);
  if (at < old.size())
    out[at].value = std::move(value);
  else
    new (out + at) JsonMember(key, std::move(value));

  const auto index = index_of(node);
  if (index.size() == old.size()) {
    if (!index.empty()) std::ranges::copy(index_of(old_node), index.begin());
  } else if (old.size() <= kIndexFrom) {
    build_index(node);
  } else {
    const auto old_index = index_of(old_node);
    const auto before =
        std::ranges::lower_bound(old_index, key, {}, [out](std::uint32_t position) { return out[position].key(); });
    auto next = std::copy(old_index.begin(), before, index.begin());
    *next++ = static_cast<std::uint32_t>(at);
    std::copy(before, old_index.end(), next);
  }
  return JsonBuilder::container(node, Kind::object);
}

Json Json::without(std::string_view key) const {
  if (!is_object() && !is_null()) std::abort();
  if (!contains(key)) return is_null() ? object() : *this;
  std::vector<JsonMember> kept;
  kept.reserve(size());
  for (const auto& member : members())
    if (member.key() != key) kept.push_back(member);
  return JsonBuilder::distinct_object(kept);
}

Json Json::with_path(std::initializer_list<std::string_view> keys, Json value) const {
  const auto set = [](const auto& self, const Json& at, const std::string_view* key, const std::string_view* end,
                      Json&& leaf) -> Json {
    if (key == end) return std::move(leaf);
    return at.with(*key, self(self, at[*key], key + 1, end, std::move(leaf)));
  };
  return set(set, *this, keys.begin(), keys.end(), std::move(value));
}

Json Json::without_path(std::initializer_list<std::string_view> keys) const {
  const auto remove = [](const auto& self, const Json& at, const std::string_view* key,
                         const std::string_view* end) -> Json {
    const Json* child = at.find(*key);
    if (child == nullptr) return at;
    return key + 1 == end ? at.without(*key) : at.with(*key, self(self, *child, key + 1, end));
  };
  return keys.size() == 0 ? *this : remove(remove, *this, keys.begin(), keys.end());
}

Json Json::with_item(Json value) const {
  if (!is_array() && !is_null()) std::abort();
  const auto old = items();
  Node* node = new_node(old.size() + 1, (old.size() + 1) * sizeof(Json));
  std::uninitialized_copy(old.begin(), old.end(), node->items());
  new (node->items() + old.size()) Json(std::move(value));
  return JsonBuilder::container(node, Kind::array);
}

Json Json::with_item(std::size_t index, Json value) const {
  if (index >= items().size()) std::abort();
  std::vector<Json> copy(items().begin(), items().end());
  copy[index] = std::move(value);
  return JsonBuilder::array(copy);
}

bool Json::is_same(const Json& other) const noexcept {
  if (bytes_[kTagAt] != other.bytes_[kTagAt]) return false;
  return std::memcmp(bytes_, other.bytes_, on_heap(bytes_[kTagAt]) ? sizeof(Node*) : sizeof bytes_) == 0;
}

bool operator==(const Json& a, const Json& b) noexcept {
  if (a.bytes_[kTagAt] != b.bytes_[kTagAt]) return false;
  switch (a.bytes_[kTagAt]) {
    case kFloating:
      return a.as_double() == b.as_double();
    case kString:
      return a.as_string() == b.as_string();
    case kArray:
      return a.is_same(b) || std::ranges::equal(a.items(), b.items());
    case kObject:
      break;
    default:
      return std::memcmp(a.bytes_, b.bytes_, kTagAt) == 0;
  }
  if (a.is_same(b)) return true;
  if (a.size() != b.size()) return false;
  return std::ranges::all_of(a.members(), [&](const JsonMember& member) {
    const Json* other = b.find(member.key());
    return other != nullptr && *other == member.value;
  });
}

}  // namespace slipway::text
