// SPDX-License-Identifier: Apache-2.0
#include "main/credentials.h"

#include <fmt/format.h>
#include <unistd.h>

#include "auth/certificates.h"
#include "auth/identity.h"
#include "auth/tokens.h"
#include "base/strings.h"
#include "kube/client.h"

namespace slipway::app {
namespace {

constexpr std::chrono::hours renew_before{24 * 30};

std::string serve_file(const DataFolder& data, std::string_view name) { return fmt::format("{}/keys/{}", data.serve(), name); }

// A file that serve reads but nobody else.
Result<> write_for_serve(const std::string& path, const std::string& content) {
  TRY(write_file_atomically(path, content, 0600));
  if (has_own_serve_user() && ::chown(path.c_str(), serve_user, serve_user) != 0) return fail_errno("cannot change the owner of", path);
  return {};
}

Result<auth::KeyPair> ensure_authority(const DataFolder& data) {
  const std::string certificate = data.credentials() + "/ca.crt", key = data.credentials() + "/ca.key";
  if (exists(certificate) && exists(key)) return auth::KeyPair{TRY(read_file(certificate)), TRY(read_file(key))};
  auto made = TRY(auth::make_authority("slipway-ca"));
  TRY(write_file_atomically(key, made.private_key_pem, 0600));
  TRY(write_file_atomically(certificate, made.certificate_pem, 0644));
  return made;
}

bool is_fresh(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return false;
  const auto ends = auth::expires_at(*text);
  return ends && *ends > SystemClock().now() + renew_before;
}

Result<> ensure_server(const DataFolder& data, const auth::KeyPair& authority, const Ports& ports) {
  const std::string certificate = serve_file(data, "server.crt"), key = serve_file(data, "server.key");
  if (is_fresh(certificate) && exists(key)) return {};
  const auto made = TRY(auth::make_certificate(
      authority, {.common_name = "slipway",
                  .organizations = {},
                  .names = {"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
                  .addresses = {"127.0.0.1", "10.96.0.1", "10.244.0.1", ports.address}}));
  TRY(write_for_serve(key, made.private_key_pem));
  TRY(write_for_serve(certificate, made.certificate_pem));
  return write_for_serve(serve_file(data, "ca.crt"), authority.certificate_pem);
}

// One token a person or process, known to serve by its hash alone.
Result<> ensure_identity(const DataFolder& data, const Ports& ports, const std::string& ca_pem, const std::string& kubeconfig, const auth::Identity& identity) {
  if (exists(kubeconfig)) return {};
  const std::string token = auth::make_token();
  const auto tokens = TRY(auth::TokenFile::open(data.tokens()));
  TRY(tokens->remove_user(identity.user));
  TRY(tokens->add(token, identity));
  if (has_own_serve_user() && ::chown(data.tokens().c_str(), serve_user, serve_user) != 0) return fail_errno("cannot change the owner of", data.tokens());
  const std::string server = fmt::format("https://{}:{}", ports.address, ports.api);
  return write_file_atomically(kubeconfig, kubeconfig_text(server, ca_pem, identity.user, token), 0600);
}

Result<> keep_kind_of_plane(const DataFolder& data, bool foreign) {
  const bool was_foreign = exists(data.plane_kubeconfig()), was_embedded = exists(data.node_kubeconfig());
  if (foreign && was_embedded) return fail(ErrorCode::conflict, data.path + " holds an embedded plane; choose another --data for the plane of --kubeconfig");
  if (!foreign && was_foreign) return fail(ErrorCode::conflict, data.path + " belongs to another plane; name it by --kubeconfig, or choose another --data");
  return {};
}

Result<> ensure_identities(const DataFolder& data, const Ports& ports, const std::string& ca_pem) {
  TRY(ensure_identity(data, ports, ca_pem, data.node_kubeconfig(), auth::node("local")));
  return ensure_identity(data, ports, ca_pem, data.kubeconfig(), auth::administrator());
}

// serve may not read what the administrator names, nor the files that it names in turn.
Result<> copy_kubeconfig(const DataFolder& data, const std::string& kubeconfig) {
  const std::string text = kube::write_kubeconfig(TRY(kube::load_kubeconfig(kubeconfig)));
  TRY(write_for_serve(data.plane_kubeconfig(), text));
  return write_file_atomically(data.kubeconfig(), text, 0600);
}

}  // namespace

std::string kubeconfig_text(const std::string& server, const std::string& ca_pem, const std::string& user, const std::string& token) {
  return fmt::format(
      "apiVersion: v1\nkind: Config\nclusters:\n- name: slipway\n  cluster:\n    server: {}\n    certificate-authority-data: {}\n"
      "users:\n- name: \"{}\"\n  user:\n    token: {}\ncontexts:\n- name: slipway\n  context:\n    cluster: slipway\n    user: \"{}\"\n"
      "current-context: slipway\n",
      server, to_base64(ca_pem), user, token, user);
}

Result<> ensure_credentials(const DataFolder& data, const Ports& ports, const std::string& kubeconfig) {
  TRY(keep_kind_of_plane(data, !kubeconfig.empty()));
  TRY(make_folders(data.serve() + "/keys", 0700));
  if (has_own_serve_user() && ::chown((data.serve() + "/keys").c_str(), serve_user, serve_user) != 0) return fail_errno("cannot change the owner of", data.serve());
  const auto authority = TRY(ensure_authority(data));
  TRY(ensure_server(data, authority, ports));
  const std::string account_key = serve_file(data, "account.key");
  if (!exists(account_key)) TRY(write_for_serve(account_key, TRY(auth::make_private_key())));
  const std::string node_port = serve_file(data, "node-port.token");
  if (!exists(node_port)) TRY(write_for_serve(node_port, auth::make_token()));
  return kubeconfig.empty() ? ensure_identities(data, ports, authority.certificate_pem) : copy_kubeconfig(data, kubeconfig);
}

Result<Credentials> read_credentials(const DataFolder& data) {
  Credentials out;
  out.ca_pem = TRY(read_file(serve_file(data, "ca.crt")));
  out.server_certificate_pem = TRY(read_file(serve_file(data, "server.crt")));
  out.server_key_pem = TRY(read_file(serve_file(data, "server.key")));
  out.account_key_pem = TRY(read_file(serve_file(data, "account.key")));
  out.node_port_token = TRY(read_file(serve_file(data, "node-port.token")));
  out.server_pin = TRY(auth::public_key_sha256(out.server_certificate_pem));
  return out;
}

Result<std::string> read_admin_token(const DataFolder& data) {
  const std::string text = TRY(read_file(data.kubeconfig()));
  const auto at = text.find("token: ");
  if (at == text.npos) return fail(ErrorCode::invalid, data.kubeconfig() + " holds no token");
  return std::string(trim(std::string_view(text).substr(at + 7, text.find('\n', at) - at - 7)));
}

}  // namespace slipway::app
