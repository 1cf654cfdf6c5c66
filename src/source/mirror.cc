// SPDX-License-Identifier: Apache-2.0
#include "source/mirror.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"

namespace slipway::source {
namespace {

constexpr std::string_view heads = "refs/heads/", tags = "refs/tags/";
constexpr const char* max_pack = "--fsize=2147483648";    // B13
// Of address space: an endless list of refs ends there (T4).
constexpr const char *list_memory = "--as=1073741824", *fetch_memory = "--as=4294967296";
constexpr std::size_t max_answer = 8 * 1024 * 1024;

bool is_link(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) != 0 || S_ISLNK(info.st_mode);
}

void remove_where(const std::string& folder, const std::function<bool(const std::string&)>& is_left_over, int depth) {
  for (const auto& name : list_folder(folder).value_or(std::vector<std::string>{})) {
    const std::string path = folder + "/" + name;
    if (is_left_over(name)) ::unlink(path.c_str());
    else if (depth > 0 && !is_link(path) && is_folder(path)) remove_where(path, is_left_over, depth - 1);
  }
}

// What a git that was killed leaves: half packs, and locks that would hold up every later one.
void clear_left_overs(const std::string& repository) {
  const auto is_lock = [](const std::string& name) { return name.ends_with(".lock"); };
  remove_where(repository, is_lock, 0);
  remove_where(repository + "/refs", is_lock, 100);
  remove_where(repository + "/objects/pack", [](const std::string& name) { return name.starts_with("tmp_"); }, 0);
}

}  // namespace

bool selects(const std::vector<std::string>& branches, std::string_view ref) {
  if (branches.empty()) return ref.starts_with(heads) || ref.starts_with(tags);
  if (!ref.starts_with(heads)) return false;
  const auto name = ref.substr(heads.size());
  return std::ranges::any_of(branches, [&](const std::string& one) {
    return one.ends_with('*') ? name.starts_with(std::string_view(one).substr(0, one.size() - 1)) : name == one;
  });
}

Result<> check_branches(const std::vector<std::string>& branches) {
  for (const std::string& one : branches) {
    std::string_view plain = one;
    if (plain.ends_with('*')) plain.remove_suffix(1);
    if (plain.ends_with('/')) plain.remove_suffix(1);
    if (one != "*" && !is_safe_ref(fmt::format("{}{}", heads, plain)))
      return fail(ErrorCode::invalid, fmt::format("\"{}\" is not a branch: a name, or its beginning and '*'", printable(one)));
  }
  return {};
}

Result<RemoteRefs> parse_remote_refs(std::string_view text, const std::vector<std::string>& branches) {
  RemoteRefs out;
  for (const auto line : split_lines(text)) {
    const auto tab = line.find('\t');
    if (tab == line.npos) continue;
    const auto left = line.substr(0, tab), ref = line.substr(tab + 1);
    if (ref == "HEAD" && left.starts_with("ref: refs/heads/") && is_safe_ref(left.substr(5))) out.default_branch = std::string(left.substr(5 + heads.size()));
    if (!is_commit_id(left) || !is_safe_ref(ref) || !selects(branches, ref)) continue;
    out.refs[std::string(ref)] = std::string(left);
    if (out.refs.size() > Mirrors::max_refs)
      return fail(ErrorCode::too_large, fmt::format("more than {} branches and tags; name those that matter in spec.connect.branches", Mirrors::max_refs));
  }
  return out;
}

Result<std::string> Mirrors::talk(const RepositoryName& repository, const SyncRequest& request, std::vector<std::string> arguments, std::string input,
                                  std::chrono::seconds deadline, std::stop_token stop) const {
  auto addresses = resolve_remote(request.url);
  // Behind a proxy it is the proxy that resolves.
  if (!addresses && (addresses.error().code != ErrorCode::unavailable || proxies_.empty())) return std::unexpected(std::move(addresses).error());
  const RemoteSession session = TRY(open_session(request.url, request.credential, addresses.value_or(std::vector<std::string>{})));
  Command command = repositories_.git(repository, std::move(arguments));
  const bool fetches = command.arguments.end() != std::ranges::find(command.arguments, "fetch");
  command.arguments.insert(command.arguments.begin(), {"prlimit", max_pack, fetches ? fetch_memory : list_memory});
  std::erase_if(command.environment, [](const auto& entry) { return entry.starts_with("GIT_CONFIG_GLOBAL="); });
  command.environment.insert(command.environment.end(), session.environment.begin(), session.environment.end());
  if (!request.url.loopback) command.environment.insert(command.environment.end(), proxies_.begin(), proxies_.end());
  command.keep_descriptors = session.descriptors;
  command.input = std::move(input);
  command.timeout = deadline;
  command.output_limit = max_answer;
  command.die_with_parent = true;
  Finished done = TRY(at(run(command, stop), request.url.to_string()));
  if (!done.ok()) return std::unexpected(remote_error(request.url, request.credential, done.errors));
  return std::move(done.output);
}

Result<> Mirrors::prepare(const RepositoryName& repository) {
  if (repositories_.is_mirror(repository)) return {};
  if (repositories_.contains(repository) && !TRY(repositories_.refs(repository)).empty())
    return fail(ErrorCode::conflict, fmt::format("a hosted repository {} is here already; connect under another name", repository.to_string()));
  return repositories_.create_mirror(repository);
}

Result<RemoteRefs> Mirrors::list_remote(const RepositoryName& repository, const SyncRequest& request, std::stop_token stop) const {
  const std::string text = TRY(talk(repository, request, {"ls-remote", "--quiet", "--symref", "--", request.url.to_string(), "HEAD", "refs/heads/*", "refs/tags/*"}, "", list_deadline, stop));
  return parse_remote_refs(text, request.branches);
}

bool Mirrors::holds(const RepositoryName& repository, const std::string& commit) const {
  if (!is_commit_id(commit) || !repositories_.contains(repository)) return false;
  const auto done = run(repositories_.git(repository, {"cat-file", "-e", commit + "^{commit}"}));
  return done && done->ok();
}

// What a repository held before it was connected starts nothing, but for the branch that is worked on: the default one,
// or those that were named.
Result<> Mirrors::begin(const RepositoryName& repository, const RemoteRefs& remote, const SyncRequest& request) {
  if (!repositories_.is_beginning(repository)) return {};
  Refs known;
  for (const auto& [ref, commit] : remote.refs)
    if (request.branches.empty() && ref != fmt::format("{}{}", heads, remote.default_branch)) known[ref] = commit;
  return repositories_.record_as_known(repository, known);
}

Result<> Mirrors::drop_gone(const RepositoryName& repository, const Refs& here, const Refs& there) {
  std::string commands;
  for (const auto& [ref, commit] : here)
    if (!there.contains(ref) && is_safe_ref(ref)) commands += fmt::format("delete {}\n", ref);
  if (commands.empty()) return {};
  Command command = repositories_.git(repository, {"update-ref", "--stdin"});
  command.input = std::move(commands);
  TRY(run_ok(command));
  return {};
}

Result<> Mirrors::journal_told(const RepositoryName& repository, const std::vector<ToldPush>& told) {
  const Refs here = TRY(repositories_.refs(repository));
  for (const ToldPush& push : told) {
    const auto head = here.find(push.ref);
    if (head == here.end() || head->second == push.after || !holds(repository, push.after)) continue;
    // Only what lies on that branch: a commit of elsewhere is not a push to it.
    const auto within = TRY(run(repositories_.git(repository, {"merge-base", "--is-ancestor", push.after, head->second})));
    if (within.ok()) TRY(journal_.add({"", repository, push.ref, push.before, push.after}, clock_.now()));
  }
  return {};
}

Result<SyncOutcome> Mirrors::sync(const RepositoryName& repository, const SyncRequest& request, const std::vector<ToldPush>& told, std::stop_token stop) {
  const auto lock = repositories_.push_lock(repository);
  const std::lock_guard guard(*lock);
  TRY(prepare(repository));
  TRY(repositories_.record_pushes(repository));  // what a killed sync had fetched
  const RemoteRefs remote = TRY(list_remote(repository, request, stop));
  const Refs here = TRY(repositories_.refs(repository));
  SyncOutcome outcome{.default_branch = remote.default_branch};
  if (remote.refs.empty() && !here.empty())
    return fail(ErrorCode::unavailable, fmt::format("{} has no branch that is asked for any more; what is here stays", request.url.to_string()));
  TRY(begin(repository, remote, request));
  if (remote.refs != here) {
    clear_left_overs(repositories_.path_of(repository));
    TRY(drop_gone(repository, here, remote.refs));
    std::string wanted;
    for (const auto& [ref, commit] : remote.refs)
      if (const auto old = here.find(ref); old == here.end() || old->second != commit) wanted += fmt::format("+{}:{}\n", ref, ref);
    if (!wanted.empty())
      TRY(talk(repository, request, {"fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--stdin", "--", request.url.to_string()}, std::move(wanted),
               std::chrono::duration_cast<std::chrono::seconds>(fetch_deadline), stop));
    if (!remote.default_branch.empty()) TRY(run_ok(repositories_.git(repository, {"symbolic-ref", "HEAD", fmt::format("{}{}", heads, remote.default_branch)})));
  }
  if (repositories_.is_beginning(repository)) TRY(repositories_.finish_beginning(repository));
  TRY(journal_told(repository, told));
  outcome.changed = TRY(repositories_.record_pushes(repository));
  return outcome;
}

}  // namespace slipway::source
