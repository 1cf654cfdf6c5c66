// SPDX-License-Identifier: Apache-2.0
#include "cd/helm/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/files.h"

namespace slipway::cd::helm {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view spaces = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(spaces);
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

class Reader {
 public:
  Reader(const Root& root, const ChartLimits& limits) : root_(root), limits_(limits) {}

  Result<> read_rules() {
    const auto fd = open(".helmignore");
    std::string text;
    if (fd) text = TRY(content(fd->get(), ".helmignore"));
    else if (fd.error().code != ErrorCode::not_found) return std::unexpected(fd.error());
    rules_ = TRY(IgnoreRules::parse(text));
    return {};
  }

  Result<> read_folder(const std::string& below, std::size_t depth) {
    if (depth == 0) return too_large("folders are nested too deep");
    for (const std::string& name : TRY(names(below))) {
      if (++entries_ > limits_.files) return too_large(fmt::format("more than {} files", limits_.files));
      TRY(entry(below.empty() ? name : below + "/" + name, depth));
    }
    return {};
  }

  std::map<std::string, std::string> take() { return std::move(files_); }

 private:
  const Root& root_;
  const ChartLimits& limits_;
  IgnoreRules rules_;
  std::size_t entries_ = 0, bytes_ = 0;
  std::map<std::string, std::string> files_;

  std::unexpected<Error> too_large(std::string_view what) const {
    return fail(ErrorCode::too_large, fmt::format("{}: {}", root_.folder(), what));
  }

  Result<UniqueFd> open(const std::string& path) const {
    open_how how{};
    how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    const long fd = ::syscall(SYS_openat2, root_.descriptor(), path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno == EXDEV) return fail(ErrorCode::invalid, fmt::format("{}/{}: the link leads out of the chart", root_.folder(), path));
    return fail_errno("cannot open", root_.folder() + "/" + path);
  }

  Result<std::vector<std::string>> names(const std::string& below) const {
    UniqueFd fd = TRY(open(below.empty() ? "." : below));
    struct Close {
      void operator()(DIR* folder) const { ::closedir(folder); }
    };
    const std::unique_ptr<DIR, Close> folder(::fdopendir(fd.get()));
    if (!folder) return fail_errno("cannot list", root_.folder() + "/" + below);
    (void)fd.release();
    std::vector<std::string> found;
    while (const dirent* item = ::readdir(folder.get())) {
      const std::string_view name = item->d_name;
      if (name != "." && name != "..") found.emplace_back(name);
      if (found.size() > limits_.files) return too_large(fmt::format("more than {} files", limits_.files));
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  Result<> entry(const std::string& path, std::size_t depth) {
    struct stat info{};
    // What is ignored by its own kind is never opened: a link out of the chart may be among it.
    if (::fstatat(root_.descriptor(), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && rules_.ignores(path, S_ISDIR(info.st_mode))) return {};
    const UniqueFd fd = TRY(open(path));
    if (::fstat(fd.get(), &info) != 0) return fail_errno("cannot read", root_.folder() + "/" + path);
    if (rules_.ignores(path, S_ISDIR(info.st_mode))) return {};
    if (S_ISDIR(info.st_mode)) return read_folder(path, depth - 1);
    if (!S_ISREG(info.st_mode)) return fail(ErrorCode::invalid, fmt::format("cannot load irregular file {}/{}", root_.folder(), path));
    files_[path] = TRY(content(fd.get(), path));
    return {};
  }

  Result<std::string> content(int fd, const std::string& path) {
    struct stat info{};
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return fail(ErrorCode::invalid, fmt::format("cannot load irregular file {}/{}", root_.folder(), path));
    std::string text = TRY(at(read_all(fd, limits_.file_bytes), root_.folder() + "/" + path));
    if ((bytes_ += text.size()) > limits_.total_bytes) return too_large(fmt::format("more than {} bytes", limits_.total_bytes));
    if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
    return text;
  }
};

}  // namespace

Result<IgnoreRules> IgnoreRules::parse(std::string_view text) {
  IgnoreRules parsed;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.starts_with('#')) continue;
    if (line.find("**") != line.npos) return fail(ErrorCode::invalid, ".helmignore: double-star (**) syntax is not supported");
    Rule rule;
    if (line.starts_with('!')) rule.negated = true, line.remove_prefix(1);
    if (line.ends_with('/')) rule.folders_only = true, line.remove_suffix(1);
    rule.whole_path = line.find('/') != line.npos;
    if (line.starts_with('/')) line.remove_prefix(1);
    rule.pattern = line;
    parsed.rules_.push_back(std::move(rule));
  }
  parsed.rules_.push_back({"templates/.?*", false, false, true});
  return parsed;
}

bool IgnoreRules::ignores(const std::string& path, bool folder) const {
  const std::string name = base_name(path);
  for (const Rule& rule : rules_) {
    const bool matches = ::fnmatch(rule.pattern.c_str(), rule.whole_path ? path.c_str() : name.c_str(), FNM_PATHNAME) == 0;
    // A negated rule ignores all that it does not name; that is how Helm reads it.
    if (rule.negated ? (rule.folders_only && !folder) || !matches : matches && (folder || !rule.folders_only)) return true;
  }
  return false;
}

Result<std::map<std::string, std::string>> read_chart_files(const std::string& folder, const ChartLimits& limits) {
  const Root root = TRY(Root::open(folder));
  Reader reader(root, limits);
  TRY(reader.read_rules());
  TRY(reader.read_folder("", limits.folders));
  return reader.take();
}

}  // namespace slipway::cd::helm
