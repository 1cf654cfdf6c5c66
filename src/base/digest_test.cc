// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <doctest/doctest.h>

#include "base/strings.h"

namespace slipway {

TEST_CASE("SHA-256 of the empty text and of 'abc' are FIPS 180-4's") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("an HMAC is the one that GitHub documents for webhooks") {
  CHECK(to_hex(hmac_sha256("It's a Secret to Everybody", "Hello, World!")) ==
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
}

TEST_CASE("CRC32C of '123456789' is the check value, whole or in two pieces") {
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c("6789", crc32c("12345")) == 0xE3069283u);
}

}  // namespace slipway
