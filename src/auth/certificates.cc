// SPDX-License-Identifier: Apache-2.0
#include "auth/certificates.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <memory>

#include "base/digest.h"

namespace slipway::auth {
namespace {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* pointer) const { Free(pointer); }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;

std::unexpected<Error> openssl_error(std::string_view what) {
  char text[200] = "unknown";
  if (const auto code = ERR_get_error()) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return fail(ErrorCode::internal, fmt::format("cannot {}: {}", what, text));
}

Bio memory(std::string_view bytes) { return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }

template <class Write>
std::string to_pem(Write write) {
  const Bio bio(BIO_new(BIO_s_mem()));
  write(bio.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

std::string key_pem(EVP_PKEY* key) {
  return to_pem([&](BIO* bio) { PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

Result<Certificate> read_certificate(std::string_view pem) {
  Certificate out(PEM_read_bio_X509(memory(pem).get(), nullptr, nullptr, nullptr));
  if (!out) return openssl_error("read a certificate");
  return out;
}

Result<Key> read_key(std::string_view pem) {
  Key out(PEM_read_bio_PrivateKey(memory(pem).get(), nullptr, nullptr, nullptr));
  if (!out) return openssl_error("read a private key");
  return out;
}

Result<> add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) return openssl_error("add an extension");
  return {};
}

void add_name(X509_NAME* name, const char* field, std::string_view value) {
  X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                             static_cast<int>(value.size()), -1, 0);
}

// Everything but issuer, extensions and signature.
Result<Certificate> begin(EVP_PKEY* key, std::string_view common_name, const std::vector<std::string>& organizations,
                          std::chrono::hours lifetime) {
  Certificate out(X509_new());
  unsigned char serial[16];
  if (!out || RAND_bytes(serial, sizeof serial) != 1) return openssl_error("make a certificate");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 1);
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(out.get()));
  BN_free(number);
  X509_set_version(out.get(), 2);
  // Clocks of two machines may differ a little.
  X509_gmtime_adj(X509_getm_notBefore(out.get()), -300);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(lifetime).count();
  X509_time_adj_ex(X509_getm_notAfter(out.get()), static_cast<int>(seconds / 86400), seconds % 86400, nullptr);
  X509_set_pubkey(out.get(), key);
  X509_NAME* name = X509_get_subject_name(out.get());
  for (const std::string& organization : organizations) add_name(name, "O", organization);
  add_name(name, "CN", common_name);
  return out;
}

bool is_safe(std::string_view name) {
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:*_") == name.npos;
}

Result<std::string> alternative_names(const CertificateRequest& request) {
  std::string out;
  const auto add = [&](std::string_view kind, const std::string& value) -> Result<> {
    if (value.empty() || !is_safe(value)) return fail(ErrorCode::invalid, fmt::format("not a host name: {}", value));
    out += fmt::format("{}{}:{}", out.empty() ? "" : ",", kind, value);
    return {};
  };
  for (const std::string& name : request.names) TRY(add("DNS", name));
  for (const std::string& address : request.addresses) TRY(add("IP", address));
  return out;
}

}  // namespace

Result<std::string> make_private_key() {
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("make a key");
  return key_pem(key.get());
}

Result<KeyPair> make_authority(std::string_view common_name, std::chrono::hours lifetime) {
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("make a key");
  const Certificate out = TRY(begin(key.get(), common_name, {}, lifetime));
  X509_set_issuer_name(out.get(), X509_get_subject_name(out.get()));
  TRY(add_extension(out.get(), out.get(), NID_basic_constraints, "critical,CA:TRUE"));
  TRY(add_extension(out.get(), out.get(), NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature"));
  TRY(add_extension(out.get(), out.get(), NID_subject_key_identifier, "hash"));
  if (X509_sign(out.get(), key.get(), EVP_sha256()) == 0) return openssl_error("sign a certificate");
  return KeyPair{to_pem([&](BIO* bio) { PEM_write_bio_X509(bio, out.get()); }), key_pem(key.get())};
}

Result<KeyPair> make_certificate(const KeyPair& authority, const CertificateRequest& request) {
  const Certificate issuer = TRY(read_certificate(authority.certificate_pem));
  const Key issuer_key = TRY(read_key(authority.private_key_pem));
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("make a key");
  const Certificate out = TRY(begin(key.get(), request.common_name, request.organizations, request.lifetime));
  X509_set_issuer_name(out.get(), X509_get_subject_name(issuer.get()));
  using Use = CertificateRequest::Use;
  TRY(add_extension(out.get(), issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  TRY(add_extension(out.get(), issuer.get(), NID_key_usage, "critical,digitalSignature"));
  TRY(add_extension(out.get(), issuer.get(), NID_ext_key_usage,
                    request.use == Use::server   ? "serverAuth"
                    : request.use == Use::client ? "clientAuth"
                                                 : "serverAuth,clientAuth"));
  TRY(add_extension(out.get(), issuer.get(), NID_authority_key_identifier, "keyid"));
  if (const std::string names = TRY(alternative_names(request)); !names.empty())
    TRY(add_extension(out.get(), issuer.get(), NID_subject_alt_name, names));
  if (X509_sign(out.get(), issuer_key.get(), EVP_sha256()) == 0) return openssl_error("sign a certificate");
  return KeyPair{to_pem([&](BIO* bio) { PEM_write_bio_X509(bio, out.get()); }), key_pem(key.get())};
}

Result<std::string> public_key_sha256(std::string_view certificate_pem) {
  const Certificate certificate = TRY(read_certificate(certificate_pem));
  unsigned char* bytes = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &bytes);
  if (size <= 0) return openssl_error("read a public key");
  const std::string hex = sha256_hex(std::string_view(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size)));
  OPENSSL_free(bytes);
  return hex;
}

Result<std::chrono::system_clock::time_point> expires_at(std::string_view certificate_pem) {
  const Certificate certificate = TRY(read_certificate(certificate_pem));
  std::tm time{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &time) != 1) return openssl_error("read an expiry");
  return std::chrono::system_clock::from_time_t(::timegm(&time));
}

}  // namespace slipway::auth
