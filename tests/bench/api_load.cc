// SPDX-License-Identifier: Apache-2.0
// Load on a Kubernetes API for the benchmarks; prints what it measured as one line of JSON.
//
//   api_load KUBECONFIG create COUNT CLIENTS BYTES     ConfigMaps of BYTES, as fast as CLIENTS connections go
//   api_load KUBECONFIG watch RATE SECONDS CLIENTS     RATE creations a second; the time from sending one to its event
//
// It makes a namespace of its own and deletes it again.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "kube/client.h"

namespace {
using namespace slipway;
using Moment = std::chrono::steady_clock::time_point;

const std::string ns = fmt::format("bench-load-{}", ::getpid());  // a namespace that goes takes its time

Moment now() { return std::chrono::steady_clock::now(); }
double ms(Moment from, Moment to) { return std::chrono::duration<double, std::milli>(to - from).count(); }

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size())))];
}

std::string config_map(std::size_t number, std::size_t bytes) {
  std::string body = fmt::format(R"({{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"o{}"}},"data":{{"k":")", number);
  constexpr std::string_view ending = R"("}})";
  while (body.size() + ending.size() < bytes) body += static_cast<char>('a' + body.size() % 26);
  return body.append(ending);
}

struct Load {
  kube::ClientConfig config;
  std::vector<std::unique_ptr<kube::Client>> clients;
  const std::string path = fmt::format("/api/v1/namespaces/{}/configmaps", ns);

  Result<> open(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      clients.push_back(TRY(kube::make_client(config)));
      TRY(clients.back()->raw("GET", "/version"));
    }
    const kube::Json space = kube::Json::object({{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", kube::Json::object({{"name", ns}})}});
    const auto made = clients.front()->create(kube::resources::namespaces, space);
    if (!made && made.error().code != ErrorCode::already_exists) return std::unexpected(made.error());
    return {};
  }

  void close() {
    if (!clients.empty()) (void)clients.front()->remove(kube::resources::namespaces, {"", ns});
  }

  // Calls `send(client, number)` for 0 … count-1, number i not before begun + i / rate (0: at once).
  template <class Send>
  Result<> all(std::size_t count, double rate, const Send& send) {
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    Result<> problem;
    const Moment begun = now();
    std::vector<std::jthread> threads;
    for (auto& client : clients) {
      threads.emplace_back([&, client = client.get()] {
        for (std::size_t i = next++; i < count; i = next++) {
          if (rate > 0) std::this_thread::sleep_until(begun + std::chrono::duration_cast<Moment::duration>(std::chrono::duration<double>(static_cast<double>(i) / rate)));
          if (const auto sent = send(*client, i); !sent) {
            const std::lock_guard lock(mutex);
            problem = std::unexpected(sent.error());
            next = count;
          }
        }
      });
    }
    threads.clear();
    return problem;
  }

  Result<> create(std::size_t count, std::size_t bytes) {
    std::vector<double> took(count);
    const Moment begun = now();
    TRY(all(count, 0, [&](kube::Client& client, std::size_t i) -> Result<> {
      const std::string body = config_map(i, bytes);
      const Moment sent = now();
      TRY(client.raw("POST", path, body, "application/json"));
      took[i] = ms(sent, now());
      return {};
    }));
    const double seconds = ms(begun, now()) / 1000;
    const double p50 = percentile(took, 0.5);
    fmt::print(R"({{"per_second":{:.1f},"p50_ms":{:.3f},"p99_ms":{:.3f}}})" "\n", static_cast<double>(count) / seconds, p50, percentile(took, 0.99));
    return {};
  }

  Result<> watch(std::size_t rate, std::size_t seconds) {
    const std::size_t count = rate * seconds;
    std::vector<std::atomic<std::int64_t>> sent(count);
    std::vector<double> took;
    const auto watcher = TRY(kube::make_client(config));
    const std::string since = TRY(watcher->list(kube::resources::config_maps, {.ns = ns})).resource_version;
    std::jthread reader([&](const std::stop_token& stop) {
      (void)watcher->watch(kube::resources::config_maps, {.ns = ns, .label_selector = {}, .field_selector = {}, .resource_version = since}, [&](const kube::WatchEvent& event) {
        const std::int64_t arrived = now().time_since_epoch().count();
        const std::string name = kube::key_of(event.object).name;
        std::size_t number = count;
        if (name.starts_with("o")) std::from_chars(name.data() + 1, name.data() + name.size(), number);
        if (event.kind == kube::WatchKind::added && number < count) took.push_back(static_cast<double>(arrived - sent[number]) / 1e6);
        return took.size() < count;
      }, stop);
    });
    const Moment begun = now();
    TRY(all(count, static_cast<double>(rate), [&](kube::Client& client, std::size_t i) -> Result<> {
      const std::string body = config_map(i, 1500);
      sent[i] = now().time_since_epoch().count();
      TRY(client.raw("POST", path, body, "application/json"));
      return {};
    }));
    const double lasted = ms(begun, now()) / 1000;
    const Moment deadline = now() + std::chrono::seconds(10);
    std::jthread guard([&](const std::stop_token& stop) {
      while (!stop.stop_requested() && now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      reader.request_stop();
    });
    reader.join();
    if (took.size() < count) return fail(ErrorCode::timeout, fmt::format("only {} of {} events arrived", took.size(), count));
    const double p50 = percentile(took, 0.5);
    fmt::print(R"({{"per_second":{:.1f},"p50_ms":{:.3f},"p99_ms":{:.3f}}})" "\n", static_cast<double>(count) / lasted, p50, percentile(took, 0.99));
    return {};
  }
};

Result<> run(const std::vector<std::string_view>& arguments) {
  const auto number = [&](std::size_t i) {
    std::size_t value = 0;
    std::from_chars(arguments[i].data(), arguments[i].data() + arguments[i].size(), value);
    return value;
  };
  if (arguments.size() != 5 || (arguments[1] != "create" && arguments[1] != "watch")) return fail(ErrorCode::invalid, "api_load KUBECONFIG create COUNT CLIENTS BYTES | watch RATE SECONDS CLIENTS");
  Load load{.config = TRY(kube::load_kubeconfig(std::string(arguments[0]))), .clients = {}};
  const bool creates = arguments[1] == "create";
  TRY(load.open(creates ? number(3) : number(4)));
  const auto done = creates ? load.create(number(2), number(4)) : load.watch(number(2), number(3));
  load.close();
  return done;
}

}  // namespace

int main(int count, char** values) {
  const auto done = run({values + 1, values + count});
  if (!done) fmt::print(stderr, "{}\n", done.error().message);
  return done ? 0 : 1;
}
