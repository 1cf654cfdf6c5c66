// SPDX-License-Identifier: Apache-2.0
// Map: an ordered map from string to shared value whose copies are free: a B+tree whose writes copy the path to the root.
//
// A copy of a Map is a pinned state: it never changes, and any thread may read it while the original goes on. set() and
// erase() belong to one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::store {

template <class Value>
class Map {
 public:
  using Pointer = std::shared_ptr<const Value>;

  std::size_t size() const { return size_; }

  Pointer get(std::string_view key) const {
    const Node* node = root_.get();
    while (node != nullptr && !node->children.empty()) node = node->children[child_of(*node, key)].get();
    if (node == nullptr) return nullptr;
    const std::size_t at = lower(*node, key);
    return at < node->keys.size() && node->keys[at] == key ? node->values[at] : nullptr;
  }

  void set(std::string_view key, Pointer value) {
    if (root_ == nullptr) root_ = std::make_shared<Node>();
    auto [left, right] = set_in(*root_, key, std::move(value));
    if (right == nullptr) {
      root_ = std::move(left);
      return;
    }
    auto root = std::make_shared<Node>();
    root->keys = {first_key(*left), first_key(*right)};
    root->children = {std::move(left), std::move(right)};
    root_ = std::move(root);
  }

  bool erase(std::string_view key) {
    if (get(key) == nullptr) return false;
    root_ = erase_in(*root_, key);
    while (root_ != nullptr && root_->children.size() == 1) root_ = root_->children[0];
    --size_;
    return true;
  }

  // Visits in order from the first key that is not less than `from`, until visit(key, value) answers false.
  template <class Visit>
  void scan(std::string_view from, Visit visit) const {
    if (root_ != nullptr) scan_in(*root_, from, visit);
  }

 private:
  static constexpr std::size_t width = 32;

  // A leaf has values; an inner node has children, and keys[i] is not greater than any key below children[i].
  struct Node {
    std::vector<std::string> keys;
    std::vector<Pointer> values;
    std::vector<std::shared_ptr<const Node>> children;
  };
  using NodePointer = std::shared_ptr<const Node>;

  static std::size_t lower(const Node& node, std::string_view key) {
    return static_cast<std::size_t>(std::lower_bound(node.keys.begin(), node.keys.end(), key) - node.keys.begin());
  }
  static std::size_t child_of(const Node& node, std::string_view key) {
    const auto after = std::upper_bound(node.keys.begin(), node.keys.end(), key);
    return after == node.keys.begin() ? 0 : static_cast<std::size_t>(after - node.keys.begin()) - 1;
  }
  static const std::string& first_key(const Node& node) { return node.keys.front(); }

  std::pair<NodePointer, NodePointer> set_in(const Node& old, std::string_view key, Pointer value) {
    auto node = std::make_shared<Node>(old);
    if (node->children.empty()) {
      const std::size_t at = lower(*node, key);
      const auto place = static_cast<std::ptrdiff_t>(at);
      if (at < node->keys.size() && node->keys[at] == key) {
        node->values[at] = std::move(value);
      } else {
        node->keys.insert(node->keys.begin() + place, std::string(key));
        node->values.insert(node->values.begin() + place, std::move(value));
        ++size_;
      }
      return split(std::move(node));
    }
    const std::size_t at = child_of(*node, key);
    auto [left, right] = set_in(*node->children[at], key, std::move(value));
    node->keys[at] = first_key(*left);
    node->children[at] = std::move(left);
    if (right != nullptr) {
      const auto place = static_cast<std::ptrdiff_t>(at + 1);
      node->keys.insert(node->keys.begin() + place, first_key(*right));
      node->children.insert(node->children.begin() + place, std::move(right));
    }
    return split(std::move(node));
  }

  static std::pair<NodePointer, NodePointer> split(std::shared_ptr<Node> node) {
    if (node->keys.size() <= width) return {std::move(node), nullptr};
    auto right = std::make_shared<Node>();
    const auto half = static_cast<std::ptrdiff_t>(width / 2);
    const auto move_half = [half](auto& from, auto& to) {
      if (from.empty()) return;
      to.assign(std::make_move_iterator(from.begin() + half), std::make_move_iterator(from.end()));
      from.erase(from.begin() + half, from.end());
    };
    move_half(node->keys, right->keys);
    move_half(node->values, right->values);
    move_half(node->children, right->children);
    return {std::move(node), std::move(right)};
  }

  // Nodes may become small; one that is empty goes away.
  static NodePointer erase_in(const Node& old, std::string_view key) {
    auto node = std::make_shared<Node>(old);
    if (node->children.empty()) {
      const auto at = static_cast<std::ptrdiff_t>(lower(*node, key));
      node->keys.erase(node->keys.begin() + at);
      node->values.erase(node->values.begin() + at);
      return node->keys.empty() ? nullptr : node;
    }
    const std::size_t at = child_of(*node, key);
    NodePointer child = erase_in(*node->children[at], key);
    if (child != nullptr) {
      node->children[at] = std::move(child);
      return node;
    }
    node->keys.erase(node->keys.begin() + static_cast<std::ptrdiff_t>(at));
    node->children.erase(node->children.begin() + static_cast<std::ptrdiff_t>(at));
    return node->children.empty() ? nullptr : node;
  }

  template <class Visit>
  static bool scan_in(const Node& node, std::string_view from, Visit& visit) {
    if (node.children.empty()) {
      for (std::size_t i = lower(node, from); i < node.keys.size(); ++i)
        if (!visit(node.keys[i], node.values[i])) return false;
      return true;
    }
    for (std::size_t i = child_of(node, from); i < node.children.size(); ++i)
      if (!scan_in(*node.children[i], from, visit)) return false;
    return true;
  }

  NodePointer root_;
  std::size_t size_ = 0;
};

}  // namespace slipway::store
