// SPDX-License-Identifier: Apache-2.0
#include "cli/connect.h"

#include <cstdlib>

#include "base/files.h"

namespace slipway::cli {
namespace {
constexpr const char* installed_kubeconfig = "/var/lib/slipway/kubeconfig";
}

Result<kube::ClientConfig> connection(const Invocation& invocation) {
  std::string path = invocation.get("kubeconfig");
  if (const char* variable = std::getenv("KUBECONFIG"); path.empty() && variable) path = variable;
  if (path.empty()) path = installed_kubeconfig;
  if (!exists(path)) return fail(ErrorCode::not_found, path + " is not there; start with `slipway up`, or name a kubeconfig with --kubeconfig or KUBECONFIG");
  return kube::load_kubeconfig(path, invocation.get("context"));
}

Result<std::unique_ptr<kube::Client>> connect(const Invocation& invocation) { return kube::make_client(TRY(connection(invocation))); }

}  // namespace slipway::cli
