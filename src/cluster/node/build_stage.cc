// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/build_stage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/strings.h"
#include "oci/compress.h"
#include "sandbox/mounts.h"
#include "store/unpack.h"

namespace slipway::cluster {
namespace {

using dockerfile::Origin;
using dockerfile::Step;
using text::Json;

// Raised whenever the same instruction would give another layer.
constexpr std::string_view key_version = "slipway build 1";

bool acts(const Step& step) { return !std::holds_alternative<dockerfile::Configure>(step.action); }

Json history_json(const std::string& created, const std::string& text, bool empty) {
  Json out = Json::object({{"created", created}, {"created_by", text}, {"comment", "slipway.dockerfile.v0"}});
  return empty ? out.with("empty_layer", true) : out;
}

}  // namespace

StageRunner::StageRunner(BuildPlace& place, const BuildInputs& inputs, std::size_t position) : place_(place), inputs_(inputs), stage_(inputs.build.stages[position]) {}

Result<StageResult> StageRunner::run(std::stop_token stop) {
  if (stage_.base.kind != Origin::Kind::scratch) now_ = *TRY(result_of(stage_.base));
  else now_.key = sha256_hex(fmt::format("{} scratch", key_version));
  std::size_t number = 0, count = 0;
  for (const Step& one : stage_.steps) count += acts(one);
  for (const Step& one : stage_.steps) {
    if (!acts(one)) {
      now_.history.push_back(history_json(now_.created, one.text, true));
      continue;
    }
    if (stop.stop_requested()) return fail(ErrorCode::unavailable, "the build was stopped");
    const std::string label = fmt::format("[{} {}/{}]", stage_.name, ++number, count);
    const Steady began = place_.node.executor.clock().steady();
    place_.log.line(fmt::format("{} {}", label, one.text.substr(0, 1000)));
    sources_known_ = false;
    sources_.clear();
    const std::string key = TRY(at(key_of(one), one.place));
    const auto kept = place_.node.cache->find(key);
    const StepOutcome outcome = kept ? *kept : TRY(at(carry_out(one, label, stop), one.place));
    if (!kept) TRY(place_.node.cache->keep(key, outcome));
    now_.key = key;
    take(outcome, one);
    const double seconds = std::chrono::duration<double>(place_.node.executor.clock().steady() - began).count();
    place_.log.line(kept ? fmt::format("{} CACHED", label) : fmt::format("{} done in {:.1f}s", label, seconds));
    place_.on_step({label + " " + one.text.substr(0, 160), seconds, kept.has_value()});
  }
  return std::move(now_);
}

void StageRunner::take(const StepOutcome& outcome, const Step& step) {
  now_.created = std::max(now_.created, outcome.created);
  now_.history.push_back(history_json(outcome.created, step.text, !outcome.layer));
  if (!outcome.layer) return;
  now_.layers.push_back(*outcome.layer);
  now_.diff_ids.push_back(outcome.layer->digest.value);
}

// ---- keys

Result<std::string> StageRunner::key_of(const Step& step) {
  Sha256 hash;
  const auto put = [&](std::string_view text) { hash.update(fmt::format("{}:{},", text.size(), text)); };
  put(key_version);
  put(now_.key);
  put(text::to_canonical_json(dockerfile::to_json(step)["action"]));
  if (const auto* copy = std::get_if<dockerfile::Copy>(&step.action)) put(TRY(digest_of_origin(copy->from, *copy)));
  if (const auto* run = std::get_if<dockerfile::Run>(&step.action))
    for (const dockerfile::Mount& mount : run->mounts)
      if (mount.kind == dockerfile::Mount::Kind::bind) put(TRY(digest_of_origin(mount.from, {.from = mount.from, .sources = {mount.source.empty() ? "." : mount.source}, .destination = "/"})));
  return to_hex(hash.finish());
}

// What is taken is hashed once: a stage's files are the same whenever its key is, a context's whenever its identity is.
Result<std::string> StageRunner::digest_of_origin(const Origin& from, const dockerfile::Copy& copy) {
  std::string memory;
  if (from.kind == Origin::Kind::stage || from.kind == Origin::Kind::image || from.kind == Origin::Kind::context) {
    const std::string whole = from.kind == Origin::Kind::context ? inputs_.context.identity() : TRY(result_of(from))->key;
    std::string parts = std::string(key_version) + " files " + whole;
    for (const std::string& source : copy.sources) parts += fmt::format(" {}:{}", source.size(), source);
    for (const auto& [name, text] : copy.inline_files) parts += fmt::format(" {}:{} {}", name.size(), name, sha256_hex(text));
    memory = sha256_hex(parts);
    if (auto known = place_.node.cache->find_text(memory)) return *known;
  }
  auto sources = TRY(find_sources(copy, *TRY(tree_of(from))));
  std::string digest = TRY(cluster::digest_of(sources));
  if (!memory.empty()) TRY(place_.node.cache->keep_text(memory, digest));
  sources_ = std::move(sources);
  sources_known_ = true;
  return digest;
}

// ---- steps

Result<StepOutcome> StageRunner::carry_out(const Step& step, const std::string& label, std::stop_token stop) {
  StepOutcome out{std::nullopt, format_rfc3339(place_.node.executor.clock().now())};
  if (const auto* one = std::get_if<dockerfile::Copy>(&step.action)) out.layer = TRY(copy(*one));
  if (const auto* one = std::get_if<dockerfile::Run>(&step.action)) out.layer = TRY(run_step(*one, label, stop));
  if (const auto* one = std::get_if<dockerfile::MakeFolder>(&step.action)) {
    const std::string root = TRY(root_of(now_.layers));
    std::optional<Owner> owner;
    if (!one->owner.empty()) owner = TRY(parse_owner(one->owner, root));
    const auto entries = TRY(place_folder(one->path, *TRY(FolderTree::open(root)), owner));
    if (!entries.empty()) out.layer = TRY(write_layer(place_.node.blobs(), entries));
  }
  return out;
}

Result<std::optional<oci::Descriptor>> StageRunner::copy(const dockerfile::Copy& copy) {
  if (!sources_known_) sources_ = TRY(find_sources(copy, *TRY(tree_of(copy.from))));
  if (copy.archives == dockerfile::Copy::Archives::unpack) TRY(unpack_archives(copy, sources_));
  const std::string root = TRY(root_of(now_.layers));
  std::optional<Owner> owner;
  if (!copy.owner.empty()) owner = TRY(parse_owner(copy.owner, root));
  const auto entries = TRY(place_files(copy, sources_, *TRY(FolderTree::open(root)), owner));
  if (entries.empty()) return std::nullopt;
  return TRY(write_layer(place_.node.blobs(), entries));
}

// An archive that ADD takes becomes the folder of its content.
Result<> StageRunner::unpack_archives(const dockerfile::Copy&, std::vector<CopySource>& sources) {
  for (CopySource& source : sources) {
    if (!source.tree || source.files.size() != 1 || !TRY(is_archive(*source.tree, source.files[0].from, source.files[0].entry))) continue;
    const std::string packed = place_.fresh("archive"), folder = place_.fresh("unpacked");
    TRY(materialise(*source.tree, source.files[0].from, packed));
    const UniqueFd file(::open(packed.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return fail_errno("cannot open", packed);
    TRY(at(store::unpack(oci::decompressed(store::source_of(file.get())), folder, {.whiteouts = store::Whiteouts::apply}), source.name));
    (void)::unlink(packed.c_str());
    auto tree = TRY(FolderTree::open(folder));
    const dockerfile::Copy whole{.sources = {"."}, .destination = "/"};
    source = std::move(TRY(find_sources(whole, *tree))[0]);
    trees_[folder] = std::move(tree);
  }
  return {};
}

Result<std::optional<oci::Descriptor>> StageRunner::run_step(const dockerfile::Run& run, const std::string& label, std::stop_token stop) {
  std::vector<ReadyMount> mounts;
  for (const dockerfile::Mount& mount : run.mounts) mounts.push_back(TRY(ready(mount)));
  return run_command(place_, run, TRY(folders_of(now_.layers)), mounts, label, stop);
}

Result<ReadyMount> StageRunner::ready(const dockerfile::Mount& mount) {
  using Kind = dockerfile::Mount::Kind;
  ReadyMount out{mount, {}, false};
  if (mount.kind == Kind::tmpfs) return out;
  if (mount.kind == Kind::cache) {
    if (mount.from.kind != Origin::Kind::scratch) return fail(ErrorCode::invalid, "RUN --mount=type=cache,from=… is not supported");
    out.source = place_.node.cache->mount_folder(mount.id);
    if (is_folder(out.source)) return out;
    TRY(make_folders(out.source));
    if (::chown(out.source.c_str(), mount.user, mount.group) != 0 || ::chmod(out.source.c_str(), mount.mode) != 0) return fail_errno("cannot set the mode of", out.source);
    return out;
  }
  const Tree* tree = TRY(tree_of(mount.from));
  const std::string path = TRY(tree->resolve(dockerfile::clean_path("/" + mount.source).substr(1)));
  out.is_file = TRY(tree->look(path)).type != store::TarType::folder;
  if (mount.from.kind == Origin::Kind::context) {
    out.source = place_.fresh("context");
    TRY(materialise(*tree, path, out.source));
    return out;
  }
  if (mount.access == dockerfile::Mount::Access::read_write) return fail(ErrorCode::invalid, "RUN --mount=type=bind,rw from a stage or an image is not supported");
  if (mount.from.kind == Origin::Kind::scratch) return fail(ErrorCode::invalid, "RUN --mount=type=bind from scratch has nothing to mount");
  out.source = join_in_tree(TRY(root_of(TRY(result_of(mount.from))->layers)), path);
  return out;
}

// ---- layers as folders

Result<const StageResult*> StageRunner::result_of(const Origin& from) const {
  if (from.kind == Origin::Kind::stage) return &inputs_.stages[inputs_.build.position_of(from.stage)];
  const auto found = inputs_.images.find(from.image);
  if (found == inputs_.images.end()) return fail(ErrorCode::internal, "no such place to take from: " + from.image);
  return &found->second;
}

Result<const Tree*> StageRunner::tree_of(const Origin& from) {
  if (from.kind == Origin::Kind::context) return &inputs_.context;
  const std::string root = TRY(root_of(from.kind == Origin::Kind::scratch ? std::vector<oci::Descriptor>{} : TRY(result_of(from))->layers));
  auto& tree = trees_[root];
  if (!tree) tree = TRY(FolderTree::open(root));
  return tree.get();
}

Result<std::vector<std::string>> StageRunner::folders_of(const std::vector<oci::Descriptor>& layers) {
  std::vector<std::string> out;
  for (auto it = layers.rbegin(); it != layers.rend(); ++it) out.push_back(TRY(place_.node.rootfs->layer(*it)));
  return out;
}

Result<std::string> StageRunner::root_of(const std::vector<oci::Descriptor>& layers) {
  std::string name;
  for (const oci::Descriptor& layer : layers) name += layer.digest.value;
  std::string& root = roots_[name];
  if (!root.empty()) return root;
  const auto folders = TRY(folders_of(layers));
  if (folders.size() == 1) return root = folders[0];
  const std::string target = place_.fresh("root");
  if (folders.empty()) TRY(make_folders(target));
  else TRY(sandbox::mount_overlay({folders, {}, {}, target}));
  return root = target;
}

}  // namespace slipway::cluster
