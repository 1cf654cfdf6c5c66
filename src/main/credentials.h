// SPDX-License-Identifier: Apache-2.0
// The keys and tokens of one installation: made at the first start, then kept.
//
// The authority's key and the node's token stay root's; serve gets its server key, the account key and the hashes of
// tokens, or of a foreign plane its kubeconfig; people get the kubeconfig.
#pragma once

#include "main/data_folder.h"

namespace slipway::app {

struct Credentials {
  std::string ca_pem;
  std::string server_certificate_pem, server_key_pem;  // API and the HTTPS port
  std::string account_key_pem;                         // signs ServiceAccount tokens
  std::string node_port_token;                         // between serve and the node's port
  std::string server_pin;                              // SHA-256 of the server's public key
};

struct Ports {
  std::string address = "127.0.0.1";
  std::uint16_t api = 6443, registry = 5000, https = 8443;
};

// Makes what is missing: authority, server certificate (also where it ends within 30 days), account key, the token
// between serve and node; for the embedded plane also the tokens of administrator and node and both kubeconfigs. Of a
// foreign plane (`kubeconfig` not empty) copies of its kubeconfig are laid down, for serve and for people. A data
// folder stays with the kind of plane that it began with.
Result<> ensure_credentials(const DataFolder& data, const Ports& ports, const std::string& kubeconfig);
// What serve reads of it.
Result<Credentials> read_credentials(const DataFolder& data);
// The administrator's token, for the command line on this machine.
Result<std::string> read_admin_token(const DataFolder& data);

std::string kubeconfig_text(const std::string& server, const std::string& ca_pem, const std::string& user, const std::string& token);

}  // namespace slipway::app
