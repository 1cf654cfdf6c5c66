// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/server.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cluster/api/discovery.h"
#include "cluster/api/field_check.h"
#include "cluster/api/open_api.h"
#include "cluster/api/tables.h"
#include "cluster/api/validation.h"

namespace slipway::api {
namespace {

constexpr std::size_t most_log_streams = 256;
constexpr std::uint64_t house_keeping_seconds = 30;

std::unexpected<Failure> unauthorized() { return std::unexpected(Failure(401, "Unauthorized", "Unauthorized")); }

net::Response response_of(const Answer<Reply>& answer) {
  net::Response out;
  if (answer) {
    out.status = answer->code;
    out.headers.set("Content-Type", answer->content_type);
    for (const std::string& warning : answer->warnings) out.headers.add("Warning", warning_header(warning));
    out.body = answer->body;
    return out;
  }
  out.status = answer.error().code;
  out.headers.set("Content-Type", "application/json");
  if (out.status == 429) out.headers.set("Retry-After", "1");
  out.body = to_json(answer.error().to_status());
  return out;
}

}  // namespace

ApiServer::ApiServer(Executor& executor, ApiConfig config, std::unique_ptr<store::ObjectStore> store)
    : executor_(executor),
      config_(std::move(config)),
      store_(std::move(store)),
      operations_(*store_, resources_, executor.clock(), config_, roles_),
      monitor_(executor.make_monitor()),
      meter_(config_.metrics) {}

ApiServer::~ApiServer() { stop(); }

void ApiServer::stop() {
  std::deque<Job> dropped;
  {
    Guard guard(*monitor_);
    stopped_ = true;
    dropped.swap(jobs_);
  }
  tasks_.clear();
  logs_.clear();
  sessions_.clear();
}

Result<> ApiServer::start() {
  TRY(operations_.prepare());
  for (std::size_t i = 0; i < config_.threads; ++i)
    tasks_.push_back(executor_.spawn("api-request", [this](std::stop_token stop) { run_jobs(stop); }));
  tasks_.push_back(executor_.spawn("api-watch", [this](std::stop_token stop) { run_ticks(stop); }));
  return {};
}

void ApiServer::handle(std::shared_ptr<net::Exchange> exchange) {
  exchange->read_body(body_limit, [this, exchange](Result<std::string> body) {
    if (!body) {
      exchange->respond(response_of(std::unexpected(Failure(body.error()))));
      return;
    }
    {
      Guard guard(*monitor_);
      if (stopped_) return exchange->respond(response_of(std::unexpected(Failure(503, "ServiceUnavailable", "the server is stopping"))));
      if (jobs_.size() < config_.waiting_requests) {
        jobs_.push_back({exchange, std::move(*body)});
        monitor_->notify_all();
        return;
      }
    }
    exchange->respond(response_of(std::unexpected(Failure(429, "TooManyRequests", "too many requests wait; try again later"))));
  });
}

void ApiServer::run_jobs(std::stop_token stop) {
  while (true) {
    Job job;
    {
      Guard guard(*monitor_);
      if (!guard.wait_until([&] { return !jobs_.empty(); }, stop, {}, executor_.clock())) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    process(job);
  }
}

void ApiServer::run_ticks(std::stop_token stop) {
  std::uint64_t ticks = 0;
  while (executor_.sleep(std::chrono::seconds(1), stop)) {
    const std::uint64_t revision = store_->pin().revision;
    std::list<OpenWatch> over;
    if (++ticks % house_keeping_seconds == 0) {
      operations_.expire_events();
      meter_.sizes(*store_, resources_);
    }
    std::list<LogTask> finished;
    {
      std::lock_guard lock(sessions_mutex_);
      for (auto one = sessions_.begin(); one != sessions_.end();) {
        const auto next = std::next(one);
        if (!one->session->tick(executor_.clock().steady(), revision)) over.splice(over.end(), sessions_, one);
        one = next;
      }
      meter_.watches(sessions_.size());
      for (auto one = logs_.begin(); one != logs_.end();) {
        const auto next = std::next(one);
        if (one->done->load()) finished.splice(finished.end(), logs_, one);
        one = next;
      }
    }
    for (const OpenWatch& one : over)
      if (!one.session->closed()) {
        one.session->close();
        one.exchange->finish();
      }
  }
}

void ApiServer::process(Job& job) {
  const net::RequestHead& head = job.exchange->head();
  const Steady begin = executor_.clock().steady();
  auto request = [&]() -> Answer<Request> {
    Request out{TRY(authenticate(head)), head.method, head.url, TRY(parse_route(head.method, head.url)), {}, {}, {}};
    TRY(authorize(out.identity, out.route));
    return out;
  }();
  if (!request) {
    meter_.count("unknown", "unknown", request.error().code);
    return job.exchange->respond(response_of(std::unexpected(request.error())));
  }
  request->checks_fields = true;
  request->content_type = head.headers.get("Content-Type");
  request->accept = head.headers.get("Accept");
  request->body = std::move(job.body);
  if (request->route.is_resource && request->route.verb == "watch") return stream_watch(*request, job.exchange);
  if (request->route.is_resource && request->route.plural == "pods" && request->route.subresource == "log" && request->route.verb == "get")
    return stream_log(*request, job.exchange);
  const auto answered = answer(*request);
  meter_.request(request->route, answered ? answered->code : answered.error().code, executor_.clock().steady() - begin);
  job.exchange->respond(response_of(answered));
}

Answer<Request> ApiServer::admit(auth::Identity identity, std::string_view method, std::string_view target) const {
  const auto url = net::Url::parse_target(target);
  if (!url) return std::unexpected(Failure(url.error()));
  Request out{std::move(identity), std::string(method), *url, TRY(parse_route(method, *url)), {}, {}, {}};
  TRY(authorize(out.identity, out.route));
  return out;
}

Answer<auth::Identity> ApiServer::authenticate(const net::RequestHead& head) const {
  auth::Identity who = auth::anonymous();
  const std::string_view authorization = head.headers.get("Authorization");
  if (!authorization.empty()) {
    if (!equals_ignoring_case(authorization.substr(0, 7), "Bearer ")) return unauthorized();
    const std::string_view token = trim(authorization.substr(7));
    if (const auto known = config_.tokens == nullptr ? Result<auth::Identity>(fail(ErrorCode::unauthenticated, "")) : config_.tokens->authenticate(token); known) who = *known;
    else who = TRY(account_of(token));
  } else if (!head.client_certificate_cn.empty()) {
    who = {head.client_certificate_cn, head.client_certificate_organizations, {}};
    who.groups.emplace_back("system:authenticated");
  }
  const std::string_view impersonated = head.headers.get("Impersonate-User");
  if (impersonated.empty()) return who;
  if (!who.in_group("system:masters") && !who.in_group("slipway:controllers"))
    return std::unexpected(Failure(403, "Forbidden", fmt::format("users \"{}\" is forbidden: User \"{}\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope", printable(impersonated), who.user)));
  const auto parts = split(impersonated, ':');
  if (parts.size() == 4 && parts[1] == "serviceaccount") return auth::service_account(parts[2], parts[3]);
  return auth::Identity{std::string(impersonated), {"system:authenticated"}, {}};
}

// A token lives no longer than its account and its pod.
Answer<auth::Identity> ApiServer::account_of(std::string_view token) const {
  if (config_.account_tokens == nullptr) return unauthorized();
  const auto account = config_.account_tokens->verify(token, executor_.clock().now());
  if (!account) return unauthorized();
  const auto stored = operations_.read(*resources_.find("", "v1", "serviceaccounts"), account->ns, account->account);
  if (!stored || (*stored)["metadata"]["uid"].as_string() != account->account_uid) return unauthorized();
  if (!account->pod.empty()) {
    const auto pod = operations_.read(*resources_.find("", "v1", "pods"), account->ns, account->pod);
    if (!pod || (*pod)["metadata"]["uid"].as_string() != account->pod_uid) return unauthorized();
  }
  auth::Identity who = auth::service_account(account->ns, account->account);
  who.uid = account->account_uid;
  return who;
}

Answer<> ApiServer::authorize(const auth::Identity& identity, const Route& route) const {
  const auth::Decision decision = roles_.decide(identity, route.attributes());
  if (decision.allowed) return {};
  if (identity.anonymous()) return unauthorized();
  if (!route.is_resource)
    return std::unexpected(Failure(403, "Forbidden", fmt::format("forbidden: User \"{}\" cannot {} path \"{}\"", identity.user, route.verb, printable(route.path))));
  const std::string resource = route.subresource.empty() ? route.plural : route.plural + "/" + route.subresource;
  const std::string subject = route.group.empty() ? route.plural : route.plural + "." + route.group;
  Failure out(403, "Forbidden", fmt::format("{}{} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {}", subject, route.name.empty() ? "" : " \"" + route.name + "\"", identity.user, route.verb, resource, route.group, route.ns.empty() ? "at the cluster scope" : "in the namespace \"" + route.ns + "\""));
  out.group = route.group, out.kind = route.plural, out.name = route.name;
  return std::unexpected(std::move(out));
}

Answer<Reply> ApiServer::answer(const Request& request) { return request.route.is_resource ? operations_.run(request) : path(request); }

Answer<Reply> ApiServer::path(const Request& request) const {
  const std::string& path = request.url.path;
  Failure missing(404, "NotFound", "the server could not find the requested resource");
  if (request.route.verb != "get") return std::unexpected(missing);
  if (path == "/livez" || path == "/readyz" || path == "/healthz") {
    // An API that answers has read its store; a store that fails ends the process.
    const std::string checks = "[+]ping ok\n[+]storage ok\n[+]watches ok\n";
    return Reply{200, request.url.has_param("verbose") ? fmt::format("{}{} check passed\n", checks, path.substr(1)) : "ok", "text/plain; charset=utf-8"};
  }
  if (path == "/metrics" && config_.metrics != nullptr) return Reply{200, config_.metrics->text(), "text/plain; version=0.0.4; charset=utf-8"};
  std::vector<std::string_view> parts;
  for (const std::string_view part : split(path, '/'))
    if (!part.empty()) parts.push_back(part);
  const auto all = resources_.all();
  Json out;
  const bool aggregate = request.accept.find("as=APIGroupDiscoveryList") != std::string::npos && request.accept.find("v=v2") != std::string::npos;
  if (parts.empty()) out = Json::object({{"paths", Json::array({"/api", "/apis", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"})}});
  else if (parts[0] == "version") out = version_info();
  else if (parts[0] == "api" && parts.size() == 1 && !aggregate) out = api_versions();
  else if (parts[0] == "apis" && parts.size() == 1 && !aggregate) out = group_list(all);
  else if ((parts[0] == "api" || parts[0] == "apis") && parts.size() == 1)
    return Reply{200, to_json(aggregated(all, parts[0] == "api")), "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"};
  else if (parts[0] == "api" && parts.size() == 2) out = resource_list(all, "", parts[1]);
  else if (parts[0] == "apis" && parts.size() == 2) out = group(all, parts[1]);
  else if (parts[0] == "apis" && parts.size() == 3) out = resource_list(all, parts[1], parts[2]);
  else if (path == "/openapi/v3" || path == "/openapi/v3/") out = open_api_index(all);
  else if (path.starts_with("/openapi/v3/")) out = open_api_group(all, std::string_view(path).substr(12));
  else if (path == "/openapi/v2") {
    // Clients ask with an @, which is no media type; the answer's type is one.
    if (request.accept.find("json") == std::string::npos && request.accept.find("proto-openapi.spec.v2") != std::string::npos)
      return Reply{200, open_api_v2_protobuf(all), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"};
    out = open_api_v2(all);
  }
  if (out.is_null()) return std::unexpected(missing);
  return Reply{200, to_json(out)};
}

Answer<std::shared_ptr<WatchSession>> ApiServer::watch(const Request& request, WatchSink sink) {
  const ResourcePointer resource = TRY(operations_.resource_of(request.route));
  if (!resource->stored) return std::unexpected(Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"));
  return WatchSession::open(*store_, resource, request, executor_.clock().steady(), std::move(sink));
}

std::size_t ApiServer::watches_of(std::string_view user) {
  std::lock_guard lock(sessions_mutex_);
  return static_cast<std::size_t>(std::ranges::count_if(sessions_, [&](const OpenWatch& one) { return one.user == user && !one.session->closed(); }));
}

void ApiServer::stream_watch(const Request& request, const std::shared_ptr<net::Exchange>& exchange) {
  // The head goes out with the first event or when the watch stands, so that a refusal has its own status.
  auto started = std::make_shared<bool>(false);
  const auto begin = [exchange, started] {
    if (!std::exchange(*started, true)) exchange->start(200, {{"Content-Type", "application/json"}});
  };
  const std::size_t limit = config_.watch_queue_bytes;
  const auto include = parse_include_object(request.param("includeObject"));
  const auto resource = operations_.resource_of(request.route);
  if (!include || !resource) return exchange->respond(response_of(std::unexpected(include ? resource.error() : include.error())));
  if (watches_of(request.identity.user) >= config_.watches_per_user)
    return exchange->respond(response_of(std::unexpected(Failure(429, "TooManyRequests", fmt::format("{} has {} watches open already", request.identity.user, config_.watches_per_user)))));
  // The columns are said once, with the first event.
  const bool table = accepts_table(request.accept);
  auto head = std::make_shared<TableHead>(TableHead::with_columns);
  const auto as_table = [this, resource = *resource, include = *include, head](const std::string& object) {
    const Json value = text::parse_json(object, {.depth = 200}).value_or(Json());
    const Json metadata = Json::object({{"resourceVersion", value["metadata"]["resourceVersion"]}});
    return to_json(make_table(*resource, {value}, metadata, include, std::exchange(*head, TableHead::rows_only), executor_.clock().now()));
  };
  const auto sink = [exchange, begin, limit, table, as_table](std::string_view type, const std::string& object) {
    begin();
    if (exchange->queued() > limit) {
      const Failure late(410, "Expired", "too old resource version: the watcher takes events more slowly than they come");
      exchange->write(fmt::format("{{\"type\":\"ERROR\",\"object\":{}}}\n", to_json(late.to_status())));
      exchange->finish();
      return false;
    }
    return exchange->write(fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n", type, table ? as_table(object) : object));
  };
  auto session = watch(request, sink);
  if (!session && session.error().code == 410) {
    begin();
    exchange->write(fmt::format("{{\"type\":\"ERROR\",\"object\":{}}}\n", to_json(session.error().to_status())));
    return exchange->finish();
  }
  if (!session) return exchange->respond(response_of(std::unexpected(session.error())));
  begin();
  exchange->on_gone([weak = std::weak_ptr(*session)] {
    if (const auto session = weak.lock()) session->close();
  });
  std::lock_guard lock(sessions_mutex_);
  sessions_.push_back({std::move(*session), exchange, request.identity.user});
  meter_.watches(sessions_.size());
}

Answer<LogRequest> ApiServer::log_request(const Request& request) const {
  if (config_.logs == nullptr) return std::unexpected(Failure(503, "ServiceUnavailable", "no source of pod logs is set"));
  LogRequest out;
  out.pod = TRY(operations_.read(*resources_.find("", "v1", "pods"), request.route.ns, request.route.name));
  const Json& containers = out.pod["spec"]["containers"];
  out.container = request.param("container");
  if (out.container.empty() && containers.size() > 1) return bad_request(fmt::format("a container name must be specified for pod {}", request.route.name));
  if (out.container.empty()) out.container = containers[std::size_t{0}]["name"].str();
  bool known = false;
  for (const char* key : {"containers", "initContainers"})
    for (const Json& one : out.pod["spec"][key].items()) known |= one["name"].as_string() == out.container;
  if (!known) return bad_request(fmt::format("container {} is not valid for pod {}", printable(out.container), request.route.name));
  out.follow = request.param("follow") == "true";
  out.previous = request.param("previous") == "true";
  out.timestamps = request.param("timestamps") == "true";
  out.tail_lines = parse_int(request.param("tailLines"));
  out.since_seconds = parse_int(request.param("sinceSeconds"));
  out.limit_bytes = parse_int(request.param("limitBytes"));
  return out;
}

void ApiServer::stream_log(const Request& request, const std::shared_ptr<net::Exchange>& exchange) {
  auto wanted = log_request(request);
  if (!wanted) return exchange->respond(response_of(std::unexpected(wanted.error())));
  std::lock_guard lock(sessions_mutex_);
  if (logs_.size() >= most_log_streams)
    return exchange->respond(response_of(std::unexpected(Failure(429, "TooManyRequests", "too many logs are being read"))));
  auto done = std::make_shared<std::atomic<bool>>(false);
  auto task = executor_.spawn("api-log", [this, exchange, done, wanted = std::move(*wanted)](std::stop_token stop) {
    bool started = false;
    const auto begin = [&] {
      if (!std::exchange(started, true)) exchange->start(200, {{"Content-Type", "text/plain"}});
    };
    const auto read = config_.logs->read(wanted, [&](std::string_view piece) {
      begin();
      return exchange->write_blocking(piece).has_value();
    }, stop);
    if (!read && !started) exchange->respond(response_of(std::unexpected(Failure(read.error()))));
    else begin(), exchange->finish();
    *done = true;
  });
  logs_.push_back({done, std::move(task)});
}

Result<std::unique_ptr<Api>> Api::open(store::FileSystem& files, Executor& executor, ApiConfig config) {
  auto store = TRY(store::ObjectStore::open(files, executor, {.folder = config.folder, .on_failure = config.on_store_failure}));
  auto server = std::make_unique<ApiServer>(executor, std::move(config), std::move(store));
  TRY(server->start());
  return server;
}

}  // namespace slipway::api
