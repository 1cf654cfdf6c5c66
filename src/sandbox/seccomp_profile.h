// SPDX-License-Identifier: Apache-2.0
// The system calls that a container may make unless its seccomp profile is Unconfined. Pure.
#pragma once

#include <set>
#include <string>

#include "text/json.h"

namespace slipway::sandbox {

// linux.seccomp of an OCI runtime spec for a container that holds these capabilities ("CAP_CHOWN"): everything not
// named answers EPERM, clone3 answers ENOSYS.
text::Json default_seccomp_profile(const std::set<std::string>& capabilities);

}  // namespace slipway::sandbox
