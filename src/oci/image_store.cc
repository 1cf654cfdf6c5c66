// SPDX-License-Identifier: Apache-2.0
#include "oci/image_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/digest.h"
#include "base/files.h"
#include "base/strings.h"

namespace slipway::oci {
namespace {
constexpr std::size_t max_record = 4096;

// localhost and 127.0.0.1 are one registry.
std::string stored_name(const Reference& reference) {
  return (reference.registry.starts_with("localhost:") ? "127.0.0.1" + reference.registry.substr(9) : reference.registry) + "/" + reference.repository + ":" + reference.tag;
}
}

// Named by the hash of the reference, because a reference may be longer than a file's name.
std::string ImageStore::file_of(const Reference& reference) const { return fmt::format("{}/{}", folder_, sha256_hex(stored_name(reference))); }

Result<> ImageStore::tag(const Reference& reference, const store::Digest& manifest) {
  if (reference.tag.empty()) return fail(ErrorCode::invalid, reference.to_string() + " has no tag");
  return write_file_atomically(file_of(reference), fmt::format("{}\n{}\n", stored_name(reference), manifest.value), 0644);
}

Result<> ImageStore::remove(const Reference& reference) {
  if (::unlink(file_of(reference).c_str()) != 0) return fail_errno("cannot remove the name", reference.to_string());
  return {};
}

Result<store::Digest> ImageStore::resolve(const Reference& reference) const {
  if (!reference.digest.empty()) {
    const auto digest = TRY(store::Digest::parse(reference.digest));
    if (blobs_.has(digest)) return digest;
    return fail(ErrorCode::not_found, fmt::format("image {} is not in the store", reference.to_string()));
  }
  const auto record = read_file(file_of(reference), max_record);
  if (!record) return fail(ErrorCode::not_found, fmt::format("image {} is not in the store", reference.to_string()));
  const auto lines = split_lines(*record);
  return store::Digest::parse(lines.size() > 1 ? lines[1] : "");
}

Result<std::vector<ImageStore::Named>> ImageStore::list() const {
  std::vector<Named> out;
  for (const std::string& file : TRY(list_folder(folder_))) {
    if (file.find(".tmp-") != file.npos) continue;
    const std::string record = TRY(read_file(folder_ + "/" + file, max_record));
    const auto lines = split_lines(record);
    if (lines.size() < 2) continue;
    out.push_back({TRY(Reference::parse(lines[0])), TRY(store::Digest::parse(lines[1]))});
  }
  std::ranges::sort(out, {}, [](const Named& named) { return named.reference.to_string(); });
  return out;
}

}  // namespace slipway::oci
