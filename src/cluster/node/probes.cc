// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/probes.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "net/client.h"
#include "sandbox/monitor_hub.h"

namespace slipway::cluster {
namespace {

constexpr std::size_t max_probe_body = 10 * 1024 * 1024;
constexpr std::size_t shown_output = 256;

Result<std::uint16_t> port_of(const Json& port, const Json& container) {
  std::int64_t number = port.as_int(0);
  for (const Json& candidate : container["ports"].items())
    if (port.is_string() && candidate["name"] == port) number = candidate["containerPort"].as_int();
  if (port.is_string() && number == 0) number = parse_int(port.as_string()).value_or(0);
  if (number < 1 || number > 65'535) return fail(ErrorCode::invalid, "probe names no port of the container");
  return static_cast<std::uint16_t>(number);
}

Result<> http_get(const Json& get, std::chrono::milliseconds timeout, const ProbeTarget& target) {
  const bool tls = get["scheme"].as_string() == "HTTPS";
  const std::string host = get["host"].as_string().empty() ? target.pod_address.to_string() : get["host"].str();
  const std::uint16_t port = TRY(port_of(get["port"], target.container));
  const auto client = TRY(net::make_client({tls, host, port}, {.insecure = true}));
  std::string path = get["path"].str();
  if (!path.starts_with('/')) path = "/" + path;
  net::ClientRequest request{.target = path, .timeout = timeout, .stall = timeout};
  request.headers.set("User-Agent", "kube-probe/slipway");
  for (const Json& header : get["httpHeaders"].items()) request.headers.set(header["name"].as_string(), header["value"].str());
  const auto answer = TRY(client->send(request, max_probe_body));
  if (answer.status >= 200 && answer.status < 400) return {};
  return fail(ErrorCode::unavailable, fmt::format("HTTP probe failed with statuscode: {}", answer.status));
}

Result<> exec(const Json& action, std::chrono::milliseconds timeout, const ProbeTarget& target, const sandbox::Runtime& runtime) {
  std::vector<std::string> command;
  for (const Json& word : action["command"].items()) command.push_back(word.str());
  const auto done = TRY(sandbox::exec_in_container(runtime, target.container_id, command, timeout));
  if (done.ok()) return {};
  return fail(ErrorCode::unavailable, fmt::format("command ended with {}: {}", done.exit_code, printable((done.output + done.errors).substr(0, shown_output))));
}

}  // namespace

Result<ProbeSpec> parse_probe(ProbeKind kind, const Json& probe) {
  if (!probe.contains("exec") && !probe.contains("httpGet") && !probe.contains("tcpSocket"))
    return fail(ErrorCode::invalid, probe.contains("grpc") ? "grpc probes are not supported" : "probe has no action");
  ProbeSpec spec{.kind = kind, .action = probe};
  const auto seconds = [&](const char* name, std::int64_t fallback) { return std::chrono::seconds(std::max<std::int64_t>(probe[name].as_int(fallback), fallback == 0 ? 0 : 1)); };
  spec.initial_delay = seconds("initialDelaySeconds", 0);
  spec.period = seconds("periodSeconds", 10);
  spec.timeout = seconds("timeoutSeconds", 1);
  spec.success_threshold = static_cast<int>(std::max<std::int64_t>(probe["successThreshold"].as_int(1), 1));
  spec.failure_threshold = static_cast<int>(std::max<std::int64_t>(probe["failureThreshold"].as_int(3), 1));
  return spec;
}

bool ProbeState::record(const ProbeSpec& spec, bool success) {
  const bool was_passing = passing_, had_failed = failed_;
  if (success) {
    failures_ = 0;
    if (++successes_ >= spec.success_threshold) passing_ = true, failed_ = false;
  } else {
    successes_ = 0;
    if (++failures_ >= spec.failure_threshold) passing_ = false, failed_ = true;
  }
  return was_passing != passing_ || had_failed != failed_;
}

Result<> run_action(const Json& action, std::chrono::milliseconds timeout, const ProbeTarget& target, const sandbox::Runtime& runtime) {
  if (action.contains("exec")) return exec(action["exec"], timeout, target, runtime);
  if (action.contains("httpGet")) return http_get(action["httpGet"], timeout, target);
  if (action.contains("tcpSocket")) return sandbox::check_tcp(target.pod_address, TRY(port_of(action["tcpSocket"]["port"], target.container)), timeout);
  return fail(ErrorCode::invalid, "this kind of handler is not supported");
}

Result<> run_probe(const ProbeSpec& spec, const ProbeTarget& target, const sandbox::Runtime& runtime) {
  return run_action(spec.action, spec.timeout, target, runtime);
}

}  // namespace slipway::cluster
