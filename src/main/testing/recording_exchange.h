// SPDX-License-Identifier: Apache-2.0
// An exchange without a connection: tests hand in a head and look at the answer. Read it when the handler is done.
#pragma once

#include <string>

#include "net/http.h"

namespace slipway::app::testing {

class RecordingExchange final : public net::Exchange {
 public:
  explicit RecordingExchange(net::RequestHead head = {}) : head_(std::move(head)) {}
  int status = 0;
  std::string body;

  const net::RequestHead& head() const override { return head_; }
  void read_body(std::size_t, std::function<void(Result<std::string>)> done) override { done(std::string()); }
  Result<std::string> read_some(std::size_t) override { return std::string(); }
  void respond(net::Response response) override {
    status = response.status;
    body = std::move(response.body);
  }
  void start(int code, net::Headers) override { status = code; }
  bool write(std::string_view bytes) override { return body += bytes, true; }
  Result<> write_blocking(std::string_view bytes) override {
    body += bytes;
    return {};
  }
  std::size_t queued() const override { return 0; }
  void finish() override {}
  void abort() override {}
  void on_gone(std::function<void()>) override {}

 private:
  const net::RequestHead head_;
};

}  // namespace slipway::app::testing
