// SPDX-License-Identifier: Apache-2.0
// From a Dockerfile to what a build has to do: stages, of which only those that the target needs, each a list of steps
// in which every variable is replaced. Pure: outline() says which images are needed, plan() is called with what those
// images say. The same inputs give the same plan.
// Source: docs.docker.com, Dockerfile reference.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ci/dockerfile/lines.h"
#include "oci/image.h"

namespace slipway::dockerfile {

inline constexpr std::size_t max_stages = 200;
inline constexpr std::size_t max_environment = 256 * 1024;  // of one stage
inline constexpr const char* default_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Options {
  std::string target;  // name or number of a stage; empty: the last
  std::map<std::string, std::string> arguments, labels;
};

// Where a stage begins or a COPY takes from.
struct Origin {
  enum class Kind { context, scratch, image, stage };
  Kind kind = Kind::scratch;
  std::string image;      // reference
  std::size_t stage = 0;  // number in the file
  bool operator==(const Origin&) const = default;
};

struct StageOutline {
  std::string name;  // lower case; empty where it has none
  Origin base;
  std::size_t first = 0, end = 0;  // its instructions, FROM not among them
  std::size_t from = 0;            // FROM itself
  std::vector<std::size_t> needs;  // stages
  bool needed = false;
};

struct Outline {
  std::vector<StageOutline> stages;
  std::map<std::string, std::string> global_arguments;
  std::size_t target = 0;
  std::vector<std::string> images;  // of needed stages, each once
};

Result<Outline> outline(const File& file, const Options& options);

struct Mount {
  enum class Kind { bind, cache, tmpfs };
  enum class Access { read_only, read_write };
  Kind kind = Kind::bind;
  Origin from;
  std::string source, target, id;
  Access access = Access::read_only;
  std::uint32_t mode = 0755, user = 0, group = 0;
  std::int64_t size = 0;
};

enum class Network { pod, none };

struct Run {
  std::vector<std::string> arguments;    // with the shell
  std::vector<std::string> environment;  // ENV and ARG
  std::vector<std::string> proxies;      // predefined arguments: in the environment, not in the key
  std::string user, folder;
  Network network = Network::pod;
  std::vector<Mount> mounts;
  std::vector<std::pair<std::string, std::string>> scripts;  // path and text of here-documents that are run as files
};

struct Copy {
  Origin from;
  std::vector<std::string> sources;
  std::vector<std::pair<std::string, std::string>> inline_files;  // name and text of here-documents
  std::string destination;  // absolute; ends in '/' where it must be a folder
  std::string owner;        // "user:group" or empty
  std::optional<std::uint32_t> mode;
  enum class Archives { copy, unpack };
  Archives archives = Archives::copy;
};

struct MakeFolder {
  std::string path;
  std::string owner;  // USER at that point; may be empty
};
struct Configure {};  // changes the configuration only

struct Step {
  std::string text;   // the instruction, for people and the history
  std::string place;  // "Dockerfile:3:1"
  std::variant<Configure, Run, Copy, MakeFolder> action;
};

struct Stage {
  std::size_t number = 0;  // in the file
  std::string name;        // its own, or "stage-N"
  Origin base;
  std::string place, from_text;
  std::vector<std::size_t> needs;  // positions in Build::stages
  std::vector<Step> steps;
  oci::ContainerDefaults defaults;  // at its end
  std::string author;
};

struct Build {
  std::vector<Stage> stages;  // every one after those it needs; the target is the last
  std::vector<std::string> warnings;
  std::size_t position_of(std::size_t number) const;
};

struct BaseImage {
  oci::ImageConfiguration configuration;
  bool has_triggers = false;  // ONBUILD
};

Result<Build> plan(const File& file, const Outline& outline, const Options& options, const std::map<std::string, BaseImage>& images);

text::Json to_json(const Build& build);
text::Json to_json(const Step& step);

}  // namespace slipway::dockerfile
