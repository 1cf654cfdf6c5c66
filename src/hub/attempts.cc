// SPDX-License-Identifier: Apache-2.0
#include "hub/attempts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/digest.h"
#include "base/files.h"
#include "base/random.h"
#include "base/strings.h"
#include "hub/log_routes.h"
#include "text/json.h"

namespace slipway::hub {
namespace {

using text::Json;

constexpr std::chrono::hours lease_lifetime{24};

bool is_plain_name(std::string_view text) {
  return !text.empty() && text.size() <= 200 && text.front() != '.' &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'; });
}

void answer(net::Exchange& exchange, int status, std::string_view text) { exchange.respond({status, {{"Content-Type", "text/plain"}}, std::string(text) + "\n"}); }

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::forbidden: return 403;
    case ErrorCode::not_found: return 404;
    case ErrorCode::too_large: return 413;
    case ErrorCode::invalid: return 400;
    case ErrorCode::no_space: return 507;
    default: return 500;
  }
}

}  // namespace

Attempts::~Attempts() = default;

Result<std::string> Attempts::open(const std::string& id, const std::vector<std::string>& readable) {
  if (!is_plain_name(id)) return fail(ErrorCode::internal, "an attempt's id is not a plain name");
  const std::string token = to_base64url(SystemRandom().bytes(32));
  TRY(make_folders(path_of(id) + "/reports", 0700));
  TRY(make_folders(path_of(id) + "/workspaces", 0700));
  const Json record = Json::object({{"token", sha256_hex(token)}, {"readable", Json::strings(readable)}});
  TRY(write_file_atomically(path_of(id) + "/attempt.json", text::to_json(record)));
  return token;
}

Result<> Attempts::close(const std::string& id) {
  const std::string path = path_of(id) + "/attempt.json";
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("cannot remove", path);
  for (const std::string& name : TRY(logs_.names(id))) TRY(logs_.finish({id, name}));
  return {};
}

Result<> Attempts::forget(const std::string& id) {
  if (!is_plain_name(id)) return fail(ErrorCode::internal, "an attempt's id is not a plain name");
  TRY(close(id));
  TRY(logs_.remove(id));
  return remove_tree(path_of(id));
}

Result<AttemptOutcome> Attempts::outcome(const std::string& id) const {
  AttemptOutcome out;
  if (!is_folder(path_of(id))) return out;
  for (const std::string& name : TRY(list_folder(path_of(id) + "/workspaces")))
    if (name.find(".tmp-") == name.npos) out.changes[name] = TRY(read_file(path_of(id) + "/workspaces/" + name, 200));
  for (const std::string& name : TRY(list_folder(path_of(id) + "/reports"))) {
    if (name.find(".tmp-") != name.npos) continue;
    // A file that is no report after all says nothing about the tests.
    if (const auto summary = parse_junit(TRY(read_file(path_of(id) + "/reports/" + name, max_report + 1)))) out.tests.add(*summary);
  }
  return out;
}

Result<> Attempts::authenticate(const Route& route, const net::Headers& headers) const {
  const auto authorization = headers.get("Authorization");
  const auto record = read_file(path_of(route.id) + "/attempt.json", 1 << 20);
  if (!authorization.starts_with("Bearer ") || !record) return fail(ErrorCode::unauthenticated, "no capability for this attempt");
  const Json json = TRY(text::parse_json(*record));
  if (!equals_in_constant_time(json["token"].as_string(), sha256_hex(authorization.substr(7)))) return fail(ErrorCode::unauthenticated, "no capability for this attempt");
  if (route.what != "blobs") return {};
  for (const Json& one : json["readable"].items())
    if (one.as_string() == route.name) return {};
  return fail(ErrorCode::forbidden, "this attempt may not read that blob");
}

void Attempts::handle(std::shared_ptr<net::Exchange> exchange) {
  const auto parts = split(exchange->head().url.path, '/');  // "", hub, v1, attempts, ID, WHAT, NAME
  if (parts.size() != 7 || !is_plain_name(parts[4])) return answer(*exchange, 404, "not found");
  const Route route{std::string(parts[4]), std::string(parts[5]), std::string(parts[6])};
  if (auto allowed = authenticate(route, exchange->head().headers); !allowed) return answer(*exchange, status_of(allowed.error().code), allowed.error().message);
  const auto over = std::make_shared<std::atomic<bool>>(false);
  const std::lock_guard lock(mutex_);
  std::erase_if(tasks_, [](const auto& entry) { return entry.first->load(); });
  tasks_.emplace_back(over, executor_.spawn("hub", [this, exchange, route, over](const std::stop_token&) {
    serve(exchange, route);
    over->store(true);
  }));
}

void Attempts::serve(const std::shared_ptr<net::Exchange>& exchange, const Route& route) {
  const std::string& method = exchange->head().method;
  Result<> done = fail(ErrorCode::not_found, "not found");
  if (method == "GET" && route.what == "blobs") done = send_blob(*exchange, route);
  if (method == "PUT" && route.what == "workspaces" && is_plain_name(route.name)) done = take_changes(*exchange, route);
  if (method == "PUT" && route.what == "reports" && is_plain_name(route.name)) done = take_report(*exchange, route);
  if (method == "PUT" && route.what == "logs" && is_plain_name(route.name)) done = take_log(*exchange, route);
  if (!done) answer(*exchange, status_of(done.error().code), done.error().message);
}

Result<> Attempts::send_blob(net::Exchange& exchange, const Route& route) {
  const auto reader = TRY(blobs_.open(TRY(store::Digest::parse(route.name))));
  exchange.start(200, {{"Content-Type", "application/x-tar"}, {"Content-Length", std::to_string(reader->size())}});
  for (std::uint64_t offset = 0; offset < reader->size();) {
    const auto piece = reader->read_at(offset, 256 * 1024);
    if (!piece || !exchange.write_blocking(*piece)) return exchange.abort(), Result<>{};
    offset += piece->size();
  }
  exchange.finish();
  return {};
}

Result<> Attempts::take_changes(net::Exchange& exchange, const Route& route) {
  auto writer = TRY(blobs_.create());
  for (;;) {
    const std::string piece = TRY(exchange.read_some(256 * 1024));
    if (piece.empty()) break;
    if (writer->size() + piece.size() > max_changes) return fail(ErrorCode::too_large, fmt::format("more than {} bytes of changed files", max_changes));
    TRY(writer->write(piece));
  }
  const store::Digest digest = TRY(writer->commit());
  TRY(blobs_.lease("attempt-" + route.id, digest, lease_lifetime));
  TRY(write_file_atomically(path_of(route.id) + "/workspaces/" + route.name, digest.value));
  answer(exchange, 200, digest.value);
  return {};
}

Result<> Attempts::take_log(net::Exchange& exchange, const Route& route) {
  return receive_log(exchange, logs_, {route.id, route.name});
}

Result<> Attempts::take_report(net::Exchange& exchange, const Route& route) {
  if (TRY(list_folder(path_of(route.id) + "/reports")).size() >= max_reports) return fail(ErrorCode::too_large, fmt::format("more than {} reports", max_reports));
  std::string text;
  for (;;) {
    const std::string piece = TRY(exchange.read_some());
    if (piece.empty()) break;
    text += piece;
    if (text.size() > max_report) return fail(ErrorCode::too_large, fmt::format("a report of more than {} bytes", max_report));
  }
  TRY(write_file_atomically(path_of(route.id) + "/reports/" + route.name, text));
  answer(exchange, 200, "ok");
  return {};
}

}  // namespace slipway::hub
