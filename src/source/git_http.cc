// SPDX-License-Identifier: Apache-2.0
#include "source/git_http.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strings.h"

namespace slipway::source {
namespace {

net::Response text_answer(int status, std::string message) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}, {"Cache-Control", "no-cache"}}, message + "\n"};
}

// The head of a CGI answer (RFC 3875 section 6): header lines, an empty line, the body.
struct CgiHead {
  int status = 200;
  net::Headers headers;
  std::size_t size = 0;
};

std::optional<CgiHead> parse_cgi(std::string_view text) {
  auto end = text.find("\r\n\r\n");
  std::size_t gap = 4;
  if (end == text.npos) {
    end = text.find("\n\n");
    gap = 2;
  }
  if (end == text.npos) return std::nullopt;
  CgiHead head{.size = end + gap};
  for (const auto line : split_lines(text.substr(0, end))) {
    const auto colon = line.find(':');
    if (colon == line.npos) continue;
    const auto name = line.substr(0, colon), value = trim(line.substr(colon + 1));
    if (equals_ignoring_case(name, "Status")) head.status = static_cast<int>(parse_int(value.substr(0, 3)).value_or(500));
    else head.headers.add(std::string(name), std::string(value));
  }
  return head;
}

// Feeds a child's stdin from the request, on a thread of its own, because git may answer before it has read all.
void feed(const std::shared_ptr<net::Exchange>& exchange, UniqueFd input) {
  for (;;) {
    const auto piece = exchange->read_some(256 * 1024);
    if (!piece || piece->empty() || !write_all(input.get(), *piece)) return;
  }
}

}  // namespace

std::string token_of(const net::Headers& headers) {
  const auto value = headers.get("Authorization");
  if (value.starts_with("Bearer ")) return std::string(trim(value.substr(7)));
  if (!value.starts_with("Basic ")) return {};
  const auto decoded = from_base64(trim(value.substr(6)));
  if (!decoded) return {};
  const auto colon = decoded->find(':');
  return colon == decoded->npos ? std::string() : decoded->substr(colon + 1);
}

GitHttp::GitHttp(Repositories& repositories, Executor& executor, Authorize authorize)
    : repositories_(repositories), executor_(executor), authorize_(std::move(authorize)) {}

GitHttp::~GitHttp() = default;

Result<GitHttp::Route> GitHttp::route_of(const net::RequestHead& head) {
  std::string_view path = head.url.path;
  if (!path.starts_with("/git/")) return fail(ErrorCode::not_found, "not a repository");
  path.remove_prefix(5);
  const auto mark = path.find(".git/");
  if (mark == path.npos) return fail(ErrorCode::not_found, "a repository's address ends with .git");
  const auto parts = split(path.substr(0, mark), '/');
  const auto service = path.substr(mark + 5);
  if (parts.size() > 2) return fail(ErrorCode::not_found, "a repository's address is /git/NAMESPACE/NAME.git");
  const RepositoryName name = TRY(RepositoryName::parse(parts.size() == 2 ? parts[0] : "default", parts.back()));
  Route route{name, fmt::format("/{}/{}.git/{}", name.ns, name.name, service), GitAccess::read};
  const auto asked = head.url.param("service");
  const bool advertises = head.method == "GET" && service == "info/refs" && (asked == "git-upload-pack" || asked == "git-receive-pack");
  const bool acts = head.method == "POST" && (service == "git-upload-pack" || service == "git-receive-pack");
  if (!advertises && !acts) return fail(ErrorCode::not_found, "only git's smart HTTP protocol is served here");
  if (service == "git-receive-pack" || asked == "git-receive-pack") route.access = GitAccess::write;
  return route;
}

void GitHttp::handle(std::shared_ptr<net::Exchange> exchange) {
  auto route = route_of(exchange->head());
  if (!route) return exchange->respond(text_answer(404, route.error().message));
  const std::string token = token_of(exchange->head().headers);
  if (auto allowed = authorize_(token, route->repository, route->access); !allowed) {
    auto answer = text_answer(token.empty() ? 401 : 403, allowed.error().message);
    if (token.empty() || allowed.error().code == ErrorCode::unauthenticated) {
      answer.status = 401;
      answer.headers.add("WWW-Authenticate", "Basic realm=\"slipway\"");
    }
    return exchange->respond(std::move(answer));
  }
  if (!repositories_.contains(route->repository))
    return exchange->respond(text_answer(404, fmt::format("there is no repository {}; `slipway repo create {}` makes it", route->repository.to_string(), route->repository.name)));
  if (route->access == GitAccess::write && repositories_.is_mirror(route->repository))
    return exchange->respond(text_answer(403, fmt::format("{} is a connected repository: push to the one that it is connected to", route->repository.to_string())));
  if (running_.fetch_add(1) >= max_running) {
    running_.fetch_sub(1);
    auto answer = text_answer(503, "too many git requests at once");
    answer.headers.add("Retry-After", "2");
    return exchange->respond(std::move(answer));
  }
  serve(exchange, *route);
}

void GitHttp::serve(const std::shared_ptr<net::Exchange>& exchange, const Route& route) {
  const auto over = std::make_shared<std::atomic<bool>>(false);
  const std::lock_guard lock(mutex_);
  std::erase_if(tasks_, [](const auto& entry) { return entry.first->load(); });
  tasks_.emplace_back(over, executor_.spawn("git", [this, exchange, route, over](const std::stop_token&) {
    if (auto carried = carry(exchange, route); !carried) {
      log::warn("Git request failed", {{"repository", route.repository.to_string()}, {"reason", carried.error().to_string()}});
      exchange->respond(text_answer(500, "the git request failed"));
      exchange->abort();
    }
    running_.fetch_sub(1);
    over->store(true);
  }));
}

Result<> GitHttp::carry(const std::shared_ptr<net::Exchange>& exchange, const Route& route) {
  const auto& head = exchange->head();
  Command command = repositories_.git(route.repository, {"http-backend"});
  std::erase_if(command.environment, [](const auto& entry) { return entry.starts_with("GIT_DIR="); });
  const auto add = [&](std::string_view name, std::string_view value) { command.environment.push_back(fmt::format("{}={}", name, value)); };
  add("GIT_PROJECT_ROOT", repositories_.folder());
  add("GIT_HTTP_EXPORT_ALL", "1");
  add("PATH_INFO", route.path_info);
  add("REQUEST_METHOD", head.method);
  add("QUERY_STRING", head.method == "GET" ? fmt::format("service={}", head.url.param("service")) : "");
  add("CONTENT_TYPE", head.headers.get("Content-Type"));
  add("REMOTE_USER", "slipway");
  add("REMOTE_ADDR", "127.0.0.1");
  if (const auto encoding = head.headers.get("Content-Encoding"); encoding == "gzip" || encoding == "x-gzip") add("HTTP_CONTENT_ENCODING", "gzip");
  if (const auto protocol = head.headers.get("Git-Protocol"); protocol == "version=2" || protocol == "version=1") add("GIT_PROTOCOL", protocol);
  const bool pushes = route.access == GitAccess::write && head.method == "POST";

  std::shared_ptr<std::mutex> lock = pushes ? repositories_.push_lock(route.repository) : nullptr;
  std::unique_lock<std::mutex> guard;
  if (lock) guard = std::unique_lock(*lock);
  Child child = TRY(Child::start(command, Stdio::pipe, Stdio::pipe, Stdio::null));
  auto feeder = executor_.spawn("git-in", [exchange, &child](const std::stop_token&) { feed(exchange, std::move(child.input())); });

  std::string answer, buffer(256 * 1024, '\0');
  std::optional<CgiHead> cgi;
  Result<> outcome;
  while (outcome) {
    const auto got = ::read(child.output().get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) outcome = fail_errno("cannot read from", "git");
    if (got <= 0) break;
    answer.append(buffer, 0, static_cast<std::size_t>(got));
    if (!cgi) {
      cgi = parse_cgi(answer);
      if (!cgi) continue;
      answer.erase(0, cgi->size);
      if (!pushes) exchange->start(cgi->status, cgi->headers);
    }
    if (pushes) {
      if (answer.size() > max_push_answer) outcome = fail(ErrorCode::too_large, "git's answer to a push is too long");
    } else {
      outcome = exchange->write_blocking(answer);
      answer.clear();
    }
  }
  if (!outcome) child.kill(SIGKILL);
  const int code = child.wait();
  feeder->join();
  if (pushes) TRY(repositories_.record_pushes(route.repository));
  TRY(std::move(outcome));
  if (!cgi) return fail(ErrorCode::internal, fmt::format("git http-backend ended with {}", code));
  if (pushes) exchange->respond({cgi->status, cgi->headers, std::move(answer)});
  else exchange->finish();
  return {};
}

}  // namespace slipway::source
