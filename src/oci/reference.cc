// SPDX-License-Identifier: Apache-2.0
#include "oci/reference.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "store/blobs.h"

namespace slipway::oci {
namespace {

constexpr std::size_t max_name = 255, max_tag = 128;

bool is_lower(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_word(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '_'; }

// Lower-case words, joined by one '.', one or two '_' or any number of '-'.
bool is_component(std::string_view text) {
  if (text.empty() || !is_lower(text.front()) || !is_lower(text.back())) return false;
  for (std::size_t i = 0; i < text.size();) {
    if (is_lower(text[i])) {
      ++i;
      continue;
    }
    const auto end = std::min(text.find_first_not_of(text[i], i), text.size());
    const std::size_t run = end - i;
    if (!(text[i] == '-' || (text[i] == '.' && run == 1) || (text[i] == '_' && run <= 2)) || !is_lower(text[end])) return false;
    i = end;
  }
  return true;
}

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= max_tag && is_word(text[0]) && std::ranges::all_of(text, [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

bool names_a_registry(std::string_view first) { return first.find_first_of(".:") != first.npos || first == "localhost"; }

}  // namespace

Result<Reference> Reference::parse(std::string_view text) {
  const auto wrong = [&](std::string_view why) { return fail(ErrorCode::invalid, fmt::format("invalid reference format: {}: {}", why, printable(text))); };
  Reference out;
  std::string_view rest = text;
  if (const auto at = rest.find('@'); at != rest.npos) {
    if (!store::Digest::parse(rest.substr(at + 1))) return wrong("the digest is not sha256 and 64 hexadecimal digits");
    out.digest = std::string(rest.substr(at + 1));
    rest = rest.substr(0, at);
  }
  if (const auto colon = rest.rfind(':'); colon != rest.npos && rest.find('/', colon) == rest.npos) {
    if (!is_tag(rest.substr(colon + 1))) return wrong("the tag has characters that a tag cannot have");
    out.tag = std::string(rest.substr(colon + 1));
    rest = rest.substr(0, colon);
  }
  if (rest.empty() || rest.size() > max_name) return wrong("the name is empty or longer than 255 characters");
  const auto slash = rest.find('/');
  out.registry = "docker.io";
  if (slash != rest.npos && names_a_registry(rest.substr(0, slash))) {
    out.registry = std::string(rest.substr(0, slash));
    rest = rest.substr(slash + 1);
  }
  if (out.registry == "index.docker.io") out.registry = "docker.io";
  for (const auto part : split(rest, '/'))
    if (!is_component(part)) return wrong("the repository name must be lower case, in words joined by '.', '_' or '-'");
  out.repository = out.registry == "docker.io" && rest.find('/') == rest.npos ? "library/" + std::string(rest) : std::string(rest);
  if (out.tag.empty() && out.digest.empty()) out.tag = "latest";
  return out;
}

std::string Reference::to_string() const { return name() + (tag.empty() ? "" : ":" + tag) + (digest.empty() ? "" : "@" + digest); }

}  // namespace slipway::oci
