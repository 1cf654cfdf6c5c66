// SPDX-License-Identifier: Apache-2.0
#include "shim/hub_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/strings.h"
#include "store/unpack.h"

namespace slipway::shim {
namespace {

constexpr std::chrono::milliseconds first_pause{50}, longest_pause{5'000};

// What the hub will not answer otherwise however often it is asked.
Result<> judge(const net::Response& response) {
  if (response.status < 300) return {};
  const ErrorCode code = response.status == 413 ? ErrorCode::too_large : response.status >= 500 || response.status == 429 ? ErrorCode::unavailable : ErrorCode::forbidden;
  return fail(code, fmt::format("the hub answers {}: {}", response.status, trim(response.body)));
}

}  // namespace

Result<std::unique_ptr<HubClient>> HubClient::open(const wire::Plan& plan, std::string token, Executor& executor) {
  auto client = TRY(net::make_client(TRY(net::Origin::parse(plan.hub)), {.pinned_sha256 = plan.pin}));
  return std::unique_ptr<HubClient>(new HubClient(plan, std::move(client), std::move(token), executor));
}

net::ClientRequest HubClient::request(std::string method, std::string target) const {
  net::ClientRequest out{.method = std::move(method), .target = std::move(target)};
  out.headers.set("Authorization", "Bearer " + token_);
  return out;
}

Result<> HubClient::with_patience(const std::function<Result<>()>& call, const std::stop_token& stop) {
  const auto deadline = executor_.clock().steady() + patience;
  for (auto pause = first_pause;; pause = std::min(pause * 2, longest_pause)) {
    auto done = call();
    if (done) return done;
    const ErrorCode code = done.error().code;
    const bool passing = code == ErrorCode::unavailable || code == ErrorCode::timeout || code == ErrorCode::internal;
    if (!passing || executor_.clock().steady() > deadline || !executor_.sleep(pause, stop)) return done;
  }
}

Result<> HubClient::download(const std::string& digest, const std::string& path, const std::stop_token& stop) {
  return with_patience([&]() -> Result<> {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return fail_errno("cannot make", path);
    Result<> written;
    net::Response head;
    TRY(client_->stream(request("GET", wire::blob_path(attempt_, digest)), [&](const net::Response& answer) { return head = answer, true; },
                        [&](std::string_view piece) {
                          if (head.status >= 300) return head.body += piece, head.body.size() < 1000;
                          written = write_all(file.get(), piece);
                          return written.has_value();
                        }, stop));
    TRY(std::move(written));
    return judge(head);
  }, stop);
}

Result<> HubClient::upload(const std::string& target, const std::string& path, const std::stop_token& stop) {
  return with_patience([&]() -> Result<> {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return fail_errno("cannot open", path);
    struct stat info{};
    if (::fstat(file.get(), &info) != 0) return fail_errno("cannot read", path);
    auto put = request("PUT", target);
    put.content_length = static_cast<std::uint64_t>(info.st_size);
    put.body_source = [source = store::source_of(file.get())] { return source(256 * 1024); };
    put.timeout = std::chrono::minutes(5);
    return judge(TRY(client_->send(put)));
  }, stop);
}

Result<std::uint64_t> HubClient::append_log(const std::string& step, std::uint64_t offset, std::string bytes) {
  auto put = request("PUT", wire::log_path(attempt_, step, offset));
  put.body = std::move(bytes);
  put.timeout = std::chrono::seconds(10);
  const net::Response response = TRY(client_->send(put));
  // 409: the hub stands elsewhere, and says where.
  if (response.status != 200 && response.status != 409) {
    TRY(judge(response));
    return fail(ErrorCode::internal, fmt::format("the hub answers {}", response.status));
  }
  const auto json = TRY(text::parse_json(response.body));
  return static_cast<std::uint64_t>(json["offset"].as_int());
}

}  // namespace slipway::shim
