// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/build_job.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/strings.h"
#include "cluster/node/build_stage.h"
#include "cluster/node/build_stages.h"

namespace slipway::cluster {
namespace {

using text::Json;

struct DockerfileText {
  std::string text, ignore;
};

// localhost and 127.0.0.1 are one machine.
bool is_own(std::string_view image_registry, std::string_view own) {
  const auto plain = [](std::string_view name) { return name.starts_with("localhost:") ? "127.0.0.1" + std::string(name.substr(9)) : std::string(name); };
  return plain(image_registry) == plain(own);
}

// What other builders' layers are called, in the words of the manifests that are written here.
std::string oci_layer_type(const std::string& type) {
  constexpr std::string_view docker = "application/vnd.docker.image.rootfs.diff.tar";
  if (!type.starts_with(docker)) return type;
  const std::string_view kind = std::string_view(type).substr(docker.size());
  return fmt::format("{}{}", oci::media::layer_tar, kind == ".gzip" ? "+gzip" : kind == ".zstd" ? "+zstd" : "");
}

class Job final {
 public:
  Job(BuildPlace& place, const BuildRequest& request) : place_(place), request_(request) {}

  Result<BuiltImage> run(std::stop_token stop) {
    TRY(make_folders(place_.folder, 0700));
    const std::string text = TRY(open_context());
    const auto file = TRY(dockerfile::read_lines(text, request_.dockerfile));
    const auto outline = TRY(dockerfile::outline(file, request_.options));
    TRY(find_images(outline, stop));
    const auto build = TRY(dockerfile::plan(file, outline, request_.options, bases_));
    for (const std::string& warning : build.warnings) place_.log.line("warning: " + warning);
    stages_.resize(build.stages.size());
    const BuildInputs inputs{build, *context_, images_, stages_};
    const StageBody body = [&](std::size_t position, std::stop_token token) -> Result<> {
      StageRunner runner(place_, inputs, position);
      stages_[position] = TRY(runner.run(token));
      return {};
    };
    TRY(run_stages(build, place_.node.executor, max_stages_at_once, body, stop));
    BuiltImage built = TRY(finish(build));
    if (request_.push) built.manifest = TRY(push(built.manifest, stop));
    return built;
  }

 private:
  // The Dockerfile is looked for from the top of the tree, as `-f` is read from where the command runs, then inside
  // the context.
  Result<std::string> open_context() {
    const auto whole = TRY(ContextTree::open(place_.node.blobs(), request_.context));
    context_ = TRY(at(whole->below(request_.sub_path), "the context"));
    const std::string path = dockerfile::clean_path("/" + request_.dockerfile).substr(1);
    const ContextTree& tree = whole->resolve(path) ? *whole : *context_;
    const auto text = tree.text(path, dockerfile::max_file);
    if (!text && text.error().code == ErrorCode::not_found) return fail(ErrorCode::not_found, fmt::format("failed to read dockerfile: {} is not in the context", printable(request_.dockerfile)));
    const auto own = tree.text(path + ".dockerignore", dockerfile::max_ignore_file);
    const auto ignore = own ? own : context_->text(".dockerignore", dockerfile::max_ignore_file);
    if (ignore) context_->leave_out(TRY(dockerfile::IgnoreRules::parse(*ignore)));
    else if (ignore.error().code != ErrorCode::not_found) return std::unexpected(ignore.error());
    return text;
  }

  Result<> find_images(const dockerfile::Outline& outline, std::stop_token stop) {
    for (const std::string& reference : outline.images) TRY(at(find_image(reference, stop), "FROM " + reference));
    return {};
  }

  Result<> find_image(const std::string& reference, std::stop_token stop) {
    const store::BlobStore& blobs = place_.node.blobs();
    const ImageRootfs found = TRY(place_.node.provider.ensure({.reference = reference, .docker_configs = place_.docker_configs, .on_pull = [&] { place_.log.line("pulling " + reference); }}, stop));
    const auto digest = TRY(oci::choose_platform(blobs, TRY(store::Digest::parse(found.digest))));
    const oci::Manifest manifest = TRY(oci::read_manifest(blobs, digest));
    const auto configuration = TRY(oci::read_configuration(blobs, manifest));
    if (configuration.diff_ids.size() != manifest.layers.size()) return fail(ErrorCode::invalid, "the image's configuration does not name its layers");
    const Json raw = TRY(text::parse_json(TRY(blobs.get(manifest.config.digest, oci::max_config))));
    bases_[reference] = {configuration, !raw["config"]["OnBuild"].empty()};
    StageResult& result = images_[reference];
    std::vector<oci::Descriptor> layers = manifest.layers;
    for (oci::Descriptor& layer : layers) layer.media_type = oci_layer_type(layer.media_type);
    result = {sha256_hex("image " + digest.value), std::move(layers), configuration.diff_ids, {}, configuration.created};
    for (const Json& entry : configuration.history.items()) result.history.push_back(entry);
    return {};
  }

  Result<BuiltImage> finish(const dockerfile::Build& build) {
    const dockerfile::Stage& last = build.stages.back();
    const StageResult& result = stages_.back();
    oci::ImageConfiguration configuration{.defaults = last.defaults, .diff_ids = result.diff_ids, .created = result.created, .history = Json::array(result.history)};
    Json json = TRY(text::parse_json(configuration.to_text()));
    if (!last.author.empty()) json = json.with("author", last.author);
    const std::string text = text::to_json(json);
    store::BlobStore& blobs = place_.node.blobs();
    const store::Digest config = TRY(blobs.put(text));
    const oci::Manifest manifest{oci::media::manifest, {oci::media::config, config, text.size()}, result.layers};
    const store::Digest digest = TRY(blobs.put(manifest.to_text()));
    TRY(place_.node.images.tag(request_.image, digest));
    place_.log.line(fmt::format("image {} is {}", request_.image.to_string(), digest.value));
    return BuiltImage{digest, {}};
  }

  Result<store::Digest> push(const store::Digest& image, std::stop_token stop) {
    const std::string to = request_.image.to_string();
    if (!place_.node.config.push) return fail(ErrorCode::invalid, fmt::format("pushing to {} is not supported here", to));
    place_.log.line("pushing " + to);
    const auto configs = place_.docker_configs ? place_.docker_configs() : std::vector<std::string>();
    const auto digest = TRY(at(place_.node.config.push(image, request_.image, configs, stop), "push"));
    place_.log.line(fmt::format("pushed {}@{}", to, digest.value));
    return digest;
  }

  BuildPlace& place_;
  const BuildRequest& request_;
  std::unique_ptr<ContextTree> context_;
  std::map<std::string, dockerfile::BaseImage> bases_;
  std::map<std::string, StageResult> images_;
  std::vector<StageResult> stages_;
};

}  // namespace

Result<BuildRequest> BuildRequest::from_spec(const Json& spec, std::string_view registry) {
  BuildRequest out{.context = TRY(at(store::Digest::parse(spec["context"]["blob"].as_string()), "spec.context.blob"))};
  const auto path = [&](const char* name, std::string& into) {
    if (const std::string value = spec[name].str(); !value.empty()) into = value;
  };
  path("subPath", out.sub_path);
  path("dockerfile", out.dockerfile);
  out.options.target = spec["target"].str();
  for (const Json& one : spec["buildArgs"].items()) {
    if (one["name"].as_string().empty()) return fail(ErrorCode::invalid, "spec.buildArgs: an argument without a name");
    out.options.arguments[one["name"].str()] = one["value"].str();
  }
  for (const auto& label : spec["labels"].members()) out.options.labels[std::string(label.key())] = label.value.str();
  out.image = TRY(at(oci::Reference::parse(spec["image"].as_string()), "spec.image"));
  if (out.image.tag.empty() || !out.image.digest.empty()) return fail(ErrorCode::invalid, "spec.image needs a tag and no digest");
  out.push = spec["push"].as_bool(true) && !is_own(out.image.registry, registry);
  out.service_account = spec["serviceAccountName"].str("default");
  out.docker_config_secret = spec["dockerConfigSecret"].str();
  return out;
}

Result<BuiltImage> build_image(BuildPlace& place, const BuildRequest& request, std::stop_token stop) { return Job(place, request).run(stop); }

}  // namespace slipway::cluster
