// SPDX-License-Identifier: Apache-2.0
#include "net/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/digest.h"

namespace slipway::net {
namespace {

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;
using Certificate = std::unique_ptr<X509, FreeX509>;

Bio reader(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::unexpected<Error> tls_failure(std::string_view what) {
  return fail(ErrorCode::invalid, fmt::format("{}: {}", what, tls_error_text()));
}

Result<> use_certificate(SSL_CTX* context, const std::string& chain_pem, const std::string& key_pem) {
  const Bio chain = reader(chain_pem);
  Certificate leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) return tls_failure("the certificate cannot be used");
  while (X509* next = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) SSL_CTX_add0_chain_cert(context, next);
  ERR_clear_error();
  const Bio key_text = reader(key_pem);
  const std::unique_ptr<EVP_PKEY, FreeKey> key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return tls_failure("the private key cannot be used");
  return {};
}

Result<> trust(SSL_CTX* context, const std::string& ca_pem) {
  const Bio text = reader(ca_pem);
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  int count = 0;
  while (X509* next = PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)) {
    const Certificate certificate(next);
    if (X509_STORE_add_cert(store, next) == 1) ++count;
  }
  ERR_clear_error();
  return count ? Result<>{} : fail(ErrorCode::invalid, "the CA holds no certificate");
}

std::string pin_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};
  const std::string pin = sha256_hex(std::string_view(reinterpret_cast<char*>(der), static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return pin;
}

int choose_http_1_1(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size, void*) {
  static constexpr unsigned char ours[] = "\x08http/1.1";
  return SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, ours, sizeof ours - 1, in, in_size) == OPENSSL_NPN_NEGOTIATED
             ? SSL_TLSEXT_ERR_OK
             : SSL_TLSEXT_ERR_NOACK;
}

void set_common(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

std::string name_entry(X509_NAME* name, int index) {
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
  if (size < 0) return {};
  std::string out(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return out;
}

}  // namespace

std::string tls_error_text() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "the connection was closed";
  const char* reason = ERR_reason_error_string(code);
  return reason ? reason : "TLS error";
}

Result<TlsContext> make_server_context(const TlsServerConfig& config) {
  TlsContext context(SSL_CTX_new(TLS_server_method()));
  set_common(context.get());
  TRY(use_certificate(context.get(), config.certificate_chain_pem, config.private_key_pem));
  SSL_CTX_set_alpn_select_cb(context.get(), choose_http_1_1, nullptr);
  SSL_CTX_set_session_id_context(context.get(), reinterpret_cast<const unsigned char*>("slipway"), 7);
  if (!config.client_ca_pem.empty()) {
    TRY(trust(context.get(), config.client_ca_pem));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

Result<TlsContext> make_client_context(const TlsClientConfig& config) {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  set_common(context.get());
  if (!config.ca_pem.empty()) TRY(trust(context.get(), config.ca_pem));
  else if (!config.insecure && config.pinned_sha256.empty()) SSL_CTX_set_default_verify_paths(context.get());
  const bool verify = !config.insecure && config.pinned_sha256.empty();
  SSL_CTX_set_verify(context.get(), verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!config.certificate_pem.empty()) TRY(use_certificate(context.get(), config.certificate_pem, config.private_key_pem));
  return context;
}

Result<> check_pin(SSL* ssl, const std::string& pinned_sha256) {
  if (pinned_sha256.empty()) return {};
  const Certificate certificate(SSL_get1_peer_certificate(ssl));
  if (!certificate || pin_of(certificate.get()) != pinned_sha256)
    return fail(ErrorCode::unauthenticated, "the server's key is not the pinned one");
  return {};
}

Result<std::string> public_key_pin(const std::string& certificate_pem) {
  const Bio text = reader(certificate_pem);
  const Certificate certificate(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
  if (!certificate) return tls_failure("not a certificate");
  return pin_of(certificate.get());
}

PeerName peer_name(SSL* ssl) {
  PeerName peer;
  const Certificate certificate(SSL_get1_peer_certificate(ssl));
  if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK) return peer;
  X509_NAME* name = X509_get_subject_name(certificate.get());
  for (int i = X509_NAME_get_index_by_NID(name, NID_commonName, -1); i >= 0; i = -1) peer.common_name = name_entry(name, i);
  for (int i = -1; (i = X509_NAME_get_index_by_NID(name, NID_organizationName, i)) >= 0;)
    peer.organizations.push_back(name_entry(name, i));
  return peer;
}

}  // namespace slipway::net
