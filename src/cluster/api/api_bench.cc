// SPDX-License-Identifier: Apache-2.0
// Durable creates a second through the local client: 8 threads, objects of 1.5 KB, a real disk.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "base/files.h"
#include "cluster/api/api.h"

int main(int argc, char** argv) {
  using namespace slipway;
  const std::string folder = argc > 1 ? argv[1] : "/var/tmp/slipway-bench";
  const auto executor = make_system_executor();
  const auto files = store::make_system_files();
  auto api = api::Api::open(*files, *executor, {.folder = folder});
  if (!api) return fmt::print(stderr, "{}\n", api.error().to_string()), 1;
  const text::Json object = text::parse_json(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"default"}})").value().with_path({"data", "k"}, std::string(1300, 'x'));
  constexpr int clients = 8, each = 3000;
  std::vector<double> times;
  std::mutex mutex;
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::jthread> threads;
  for (int c = 0; c < clients; ++c)
    threads.emplace_back([&, c] {
      const auto client = (*api)->local_client(auth::administrator());
      std::vector<double> own;
      for (int i = 0; i < each; ++i) {
        const auto start = std::chrono::steady_clock::now();
        if (!client->create(kube::resources::config_maps, object.with_path({"metadata", "name"}, fmt::format("c{}-{}", c, i)))) std::abort();
        own.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
      }
      std::lock_guard lock(mutex);
      times.insert(times.end(), own.begin(), own.end());
    });
  threads.clear();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::ranges::sort(times);
  fmt::print("{:.0f} creates/s, p50 {:.2f} ms, p99 {:.2f} ms\n", clients * each / seconds, times[times.size() / 2], times[times.size() * 99 / 100]);
}
