// SPDX-License-Identifier: Apache-2.0
#define DOCTEST_CONFIG_IMPLEMENT
#include <csignal>

#include <doctest/doctest.h>

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // as the program itself does: a peer that left is an error code, not an end
  return doctest::Context(argc, argv).run();
}
