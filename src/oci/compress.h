// SPDX-License-Identifier: Apache-2.0
// Streamed decompression with a bound on what a small archive may become (B4).
#pragma once

#include "store/tar.h"

namespace slipway::oci {

using store::ByteSink;
using store::ByteSource;

inline constexpr std::uint64_t max_ratio = 200;                  // output to input, beyond the first megabyte
inline constexpr std::uint64_t max_unpacked = 10ULL << 30;

// Looks at the first bytes: gzip and zstd are decompressed, anything else comes through as it is.
ByteSource decompressed(ByteSource source);

// The same bytes for the same input with the same zlib: no time and no name in the header.
Result<> gzip(const ByteSource& source, const ByteSink& sink);

}  // namespace slipway::oci
