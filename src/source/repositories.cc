// SPDX-License-Identifier: Apache-2.0
#include "source/repositories.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/digest.h"
#include "base/strings.h"

namespace slipway::source {
namespace {

using text::Json;

constexpr std::size_t max_name = 100;
constexpr std::size_t max_listing = 64 * 1024 * 1024;
constexpr const char* known_refs = "/slipway-refs.json";
constexpr const char* mirror_mark = "/slipway-mirror";

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > max_name || text.find("..") != text.npos || text.ends_with(".git")) return false;
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return plain(text.front()) && plain(text.back()) && std::ranges::all_of(text, [&](char c) { return plain(c) || c == '-' || c == '.'; });
}

}  // namespace

Result<RepositoryName> RepositoryName::parse(std::string_view ns, std::string_view name) {
  if (!is_name(ns) || !is_name(name))
    return fail(ErrorCode::invalid, fmt::format("\"{}/{}\" is not a repository name: lower-case letters, digits, '-' and '.'", printable(ns), printable(name)));
  return RepositoryName{std::string(ns), std::string(name)};
}

Json Push::to_json() const {
  return Json::object({{"namespace", repository.ns}, {"repository", repository.name}, {"ref", ref}, {"before", before}, {"after", after}});
}

Result<Push> Push::from_json(const Json& value) {
  const auto& ref = value["ref"];
  if (!ref.is_string()) return fail(ErrorCode::invalid, "a push without a ref");
  auto repository = TRY(RepositoryName::parse(value["namespace"].as_string(), value["repository"].as_string()));
  return Push{"", std::move(repository), ref.str(), value["before"].str(), value["after"].str()};
}

Result<> PushJournal::add(Push push, Wall now) {
  {
    const std::lock_guard lock(mutex_);
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
    push.id = fmt::format("{:020}-{:06}-{}", micros, sequence_++ % 1'000'000, ::getpid());
  }
  TRY(write_file_atomically(folder_ + "/" + push.id, text::to_json(push.to_json()), 0600));
  if (callback_) callback_();
  return {};
}

Result<std::vector<Push>> PushJournal::pending() const {
  std::vector<Push> out;
  for (const std::string& id : TRY(list_folder(folder_))) {
    if (id.find(".tmp-") != id.npos) continue;
    Push push = TRY(at(Push::from_json(TRY(text::parse_json(TRY(read_file(folder_ + "/" + id))))), folder_ + "/" + id));
    push.id = id;
    out.push_back(std::move(push));
  }
  return out;
}

Result<> PushJournal::remove(const std::string& id) {
  const std::string path = folder_ + "/" + id;
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("cannot remove", path);
  return {};
}

bool is_commit_id(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_safe_ref(std::string_view ref) {
  if (!ref.starts_with("refs/") || ref.size() > 255 || ref.find("..") != ref.npos || ref.find("//") != ref.npos || ref.find("@{") != ref.npos) return false;
  if (ref.ends_with('/') || ref.ends_with('.') || ref.find_first_of(" ~^:?*[\\") != ref.npos) return false;
  for (const auto part : split(ref, '/'))
    if (part.empty() || part.starts_with('.') || part.starts_with('-') || part.ends_with(".lock")) return false;
  return std::ranges::none_of(ref, [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
}

Repositories::Repositories(std::string folder, PushJournal& journal, const Clock& clock)
    : folder_(std::move(folder)), journal_(journal), clock_(clock) {}

std::string Repositories::path_of(const RepositoryName& repository) const { return fmt::format("{}/{}/{}.git", folder_, repository.ns, repository.name); }

bool Repositories::contains(const RepositoryName& repository) const { return is_folder(path_of(repository) + "/objects"); }

Command Repositories::git(const RepositoryName& repository, std::vector<std::string> arguments) const {
  Command command{.arguments = {"git", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never", "-c", "gc.auto=0",
                                "-c", "safe.directory=*"}};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.environment = {"PATH=/usr/bin:/bin", "HOME=" + folder_, "GIT_DIR=" + path_of(repository), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
                         "GIT_TERMINAL_PROMPT=0", "LC_ALL=C"};
  command.inherit_environment = false;
  return command;
}

Result<> Repositories::create(const RepositoryName& repository) {
  if (contains(repository)) return {};
  TRY(make_folders(parent_path(path_of(repository)), 0700));
  TRY(run_ok(git(repository, {"init", "--quiet", "--bare", "--initial-branch=main"})));
  // What a push may bring is checked as it comes: broken objects, and more than 2 GiB at once.
  for (const auto& [key, value] : {std::pair{"transfer.fsckObjects", "true"}, {"receive.maxInputSize", "2147483648"}, {"http.receivepack", "true"},
                                   {"core.bigFileThreshold", "16m"}, {"receive.denyDeleteCurrent", "ignore"}, {"uploadpack.allowAnySHA1InWant", "true"}})
    TRY(run_ok(git(repository, {"config", key, value})));
  return {};
}

Result<> Repositories::create_mirror(const RepositoryName& repository) {
  TRY(create(repository));
  return write_file_atomically(path_of(repository) + mirror_mark, "beginning\n", 0600);
}

bool Repositories::is_mirror(const RepositoryName& repository) const { return exists(path_of(repository) + mirror_mark); }

bool Repositories::is_beginning(const RepositoryName& repository) const {
  return read_file(path_of(repository) + mirror_mark, 64).value_or("") == "beginning\n";
}

Result<> Repositories::finish_beginning(const RepositoryName& repository) { return write_file_atomically(path_of(repository) + mirror_mark, "mirror\n", 0600); }

Result<> Repositories::record_as_known(const RepositoryName& repository, const Refs& known) {
  Json written = Json::object();
  for (const auto& [ref, commit] : known) written = written.with(ref, commit);
  return write_file_atomically(path_of(repository) + known_refs, text::to_json(written), 0600);
}

Result<> Repositories::remove(const RepositoryName& repository) { return remove_tree(path_of(repository)); }

std::vector<RepositoryName> Repositories::list() const {
  std::vector<RepositoryName> out;
  for (const auto& ns : list_folder(folder_).value_or(std::vector<std::string>{}))
    for (const auto& name : list_folder(folder_ + "/" + ns).value_or(std::vector<std::string>{}))
      if (name.ends_with(".git"))
        if (auto parsed = RepositoryName::parse(ns, name.substr(0, name.size() - 4)); parsed && contains(*parsed)) out.push_back(*parsed);
  return out;
}

Result<Refs> Repositories::refs(const RepositoryName& repository) const {
  Refs out;
  const std::string text = TRY(run_ok(git(repository, {"for-each-ref", "--format=%(objectname) %(refname)"})));
  for (const auto line : split_lines(text))
    if (const auto blank = line.find(' '); blank != line.npos) out[std::string(line.substr(blank + 1))] = std::string(line.substr(0, blank));
  return out;
}

Result<std::string> Repositories::head(const RepositoryName& repository, std::string_view branch) const {
  const std::string ref = fmt::format("refs/heads/{}", branch);
  if (!is_safe_ref(ref)) return fail(ErrorCode::invalid, fmt::format("\"{}\" is not a branch name", printable(branch)));
  if (!contains(repository)) return fail(ErrorCode::not_found, fmt::format("there is no repository {}", repository.to_string()));
  const auto done = TRY(run(git(repository, {"rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}"})));
  if (!done.ok()) return fail(ErrorCode::not_found, fmt::format("repository {} has no branch {}", repository.to_string(), branch));
  return std::string(trim(done.output));
}

namespace {

struct TreeEntry {
  std::string mode, object, path;
};

// "100644 blob <id>\t<path>\0" each.
std::vector<TreeEntry> parse_tree(std::string_view text) {
  std::vector<TreeEntry> out;
  for (const auto row : split(text, '\0')) {
    const auto tab = row.find('\t');
    const auto words = split(row.substr(0, tab), ' ');
    if (tab == row.npos || words.size() != 3 || words[1] != "blob") continue;
    out.push_back({std::string(words[0]), std::string(words[2]), std::string(row.substr(tab + 1))});
  }
  return out;
}

// The answer of `git cat-file --batch` for one object: "<id> blob <size>\n<bytes>\n".
Result<std::string> take_object(std::string_view& text, const std::string& path) {
  const auto line_end = text.find('\n');
  const auto words = split(text.substr(0, line_end), ' ');
  const auto size = words.size() == 3 ? parse_int(words[2]) : std::nullopt;
  if (line_end == text.npos || !size || text.size() < line_end + 2 + static_cast<std::size_t>(*size)) return fail(ErrorCode::internal, "git cat-file answered in an unknown form for " + path);
  std::string content(text.substr(line_end + 1, static_cast<std::size_t>(*size)));
  text.remove_prefix(line_end + 2 + static_cast<std::size_t>(*size));
  return content;
}

}  // namespace

Result<Files> Repositories::files(const RepositoryName& repository, std::string_view commit, std::string_view path) const {
  if (!is_commit_id(commit)) return fail(ErrorCode::invalid, "not a commit id");
  std::vector<std::string> arguments{"ls-tree", "-r", "-z", "--full-tree", "--end-of-options", std::string(commit)};
  if (!path.empty() && path != ".") arguments.insert(arguments.end(), {"--", std::string(path)});
  Command listing = git(repository, std::move(arguments));
  listing.environment.push_back("GIT_LITERAL_PATHSPECS=1");
  listing.output_limit = max_listing;
  const auto entries = parse_tree(TRY(run_ok(listing)));
  if (entries.size() > max_files) return fail(ErrorCode::too_large, fmt::format("more than {} files below {}", max_files, path));
  std::string wanted;
  std::vector<const TreeEntry*> regular;
  for (const TreeEntry& entry : entries)
    if (entry.mode != "120000") {
      regular.push_back(&entry);
      wanted += entry.object + "\n";
    }
  Files out;
  if (regular.empty()) return out;
  Command batch = git(repository, {"cat-file", "--batch"});
  batch.input = std::move(wanted);
  batch.output_limit = max_file * 20;
  const std::string contents = TRY(run_ok(batch));
  std::string_view rest = contents;
  for (const TreeEntry* entry : regular) {
    std::string content = TRY(take_object(rest, entry->path));
    if (content.size() > max_file) return fail(ErrorCode::too_large, fmt::format("{} is larger than {} bytes", entry->path, max_file));
    out[entry->path] = std::move(content);
  }
  return out;
}

Result<store::Digest> Repositories::tree(const RepositoryName& repository, std::string_view commit, store::BlobStore& blobs) const {
  if (!is_commit_id(commit)) return fail(ErrorCode::invalid, "not a commit id");
  Command archive = git(repository, {"-c", "tar.umask=0022", "archive", "--format=tar", std::string(commit)});
  archive.timeout = std::chrono::minutes(5);
  Child child = TRY(Child::start(archive, Stdio::null, Stdio::pipe, Stdio::null));
  auto writer = TRY(blobs.create());
  std::string buffer(1 << 18, '\0');
  for (;;) {
    const auto got = ::read(child.output().get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("cannot read from", "git archive");
    if (got == 0) break;
    TRY(writer->write(std::string_view(buffer).substr(0, static_cast<std::size_t>(got))));
  }
  if (child.wait() != 0) return fail(ErrorCode::not_found, fmt::format("repository {} has no commit {}", repository.to_string(), commit));
  return writer->commit();
}

Result<std::string> Repositories::describe(const RepositoryName& repository, std::string_view commit) const {
  if (!is_commit_id(commit)) return fail(ErrorCode::invalid, "not a commit id");
  return std::string(trim(TRY(run_ok(git(repository, {"log", "-1", "--no-show-signature", "--format=%s", "--end-of-options", std::string(commit)})))));
}

Result<std::string> Repositories::committer_date(const RepositoryName& repository, std::string_view commit) const {
  if (!is_commit_id(commit)) return fail(ErrorCode::invalid, "not a commit id");
  return std::string(trim(TRY(run_ok(git(repository, {"log", "-1", "--no-show-signature", "--format=%ct", "--end-of-options", std::string(commit)})))));
}

std::shared_ptr<std::mutex> Repositories::push_lock(const RepositoryName& repository) {
  const std::lock_guard lock(mutex_);
  auto& found = locks_[repository];
  if (!found) found = std::make_shared<std::mutex>();
  return found;
}

Result<bool> Repositories::record_pushes(const RepositoryName& repository) {
  if (is_beginning(repository)) return false;
  const std::string known_path = path_of(repository) + known_refs;
  Refs known;
  const Json written_before = exists(known_path) ? TRY(text::parse_json(TRY(read_file(known_path)))) : Json();
  for (const auto& member : written_before.members()) known[std::string(member.key())] = member.value.str();
  const Refs now = TRY(refs(repository));
  if (now == known) return false;
  for (const auto& [ref, commit] : now)
    if (const auto before = known.find(ref); before == known.end() || before->second != commit)
      TRY(journal_.add({"", repository, ref, before == known.end() ? "" : before->second, commit}, clock_.now()));
  for (const auto& [ref, commit] : known)
    if (!now.contains(ref)) TRY(journal_.add({"", repository, ref, commit, ""}, clock_.now()));
  TRY(record_as_known(repository, now));
  return true;
}

Result<> Repositories::recover() {
  for (const RepositoryName& repository : list()) {
    const auto lock = push_lock(repository);
    const std::lock_guard guard(*lock);
    TRY(at(record_pushes(repository), repository.to_string()));
  }
  return {};
}

}  // namespace slipway::source
