// SPDX-License-Identifier: Apache-2.0
#include "auth/tokens.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>

#include "base/digest.h"
#include "base/files.h"
#include "base/random.h"
#include "base/strings.h"
#include "text/json.h"

namespace slipway::auth {

using text::Json;

namespace {

constexpr std::size_t half = 32;  // of an ES256 signature
constexpr std::int64_t skew_seconds = 60;

std::unexpected<Error> refuse(std::string_view reason) {
  return fail(ErrorCode::unauthenticated, fmt::format("the token is not valid: {}", reason));
}

std::int64_t seconds(Wall time) { return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count(); }

Result<std::string> sign(EVP_PKEY* key, std::string_view text) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::string der(128, '\0');
  std::size_t size = der.size();
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(der.data()), &size,
                     reinterpret_cast<const unsigned char*>(text.data()), text.size()) != 1)
    return fail(ErrorCode::internal, "cannot sign a token");
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &bytes, static_cast<long>(size));
  std::string out(2 * half, '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(signature), reinterpret_cast<unsigned char*>(out.data()), half);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature), reinterpret_cast<unsigned char*>(out.data()) + half, half);
  ECDSA_SIG_free(signature);
  return out;
}

bool verify_signature(EVP_PKEY* key, std::string_view text, std::string_view raw) {
  if (raw.size() != 2 * half) return false;
  const auto* bytes = reinterpret_cast<const unsigned char*>(raw.data());
  ECDSA_SIG* signature = ECDSA_SIG_new();
  ECDSA_SIG_set0(signature, BN_bin2bn(bytes, half, nullptr), BN_bin2bn(bytes + half, half, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature, &der);
  ECDSA_SIG_free(signature);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const bool ok = size > 0 && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
                  EVP_DigestVerify(context.get(), der, static_cast<std::size_t>(size),
                                   reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
  OPENSSL_free(der);
  return ok;
}

Result<Json> decode_part(std::string_view part) {
  const auto bytes = from_base64url(part);
  if (!bytes) return refuse("it is no JWT");
  const auto value = text::parse_json(*bytes, {.depth = 10, .values = 1000, .refuse_duplicate_keys = true});
  if (!value || !value->is_object()) return refuse("it is no JWT");
  return *value;
}

}  // namespace

std::string make_token() { return to_base64url(SystemRandom().bytes(32)); }

Result<std::unique_ptr<TokenFile>> TokenFile::open(std::string path) {
  std::unique_ptr<TokenFile> out(new TokenFile(std::move(path)));
  if (!exists(out->path_)) return out;
  const std::string text = TRY(read_file(out->path_));
  for (const std::string_view line : split_lines(text)) {
    const auto parts = split(line, ' ');
    if (parts.size() != 4 || parts[0].size() != 64)
      return fail(ErrorCode::invalid, fmt::format("{}: a line is not \"hash user uid groups\"", out->path_));
    Identity identity{std::string(parts[1]), {}, std::string(parts[2] == "-" ? "" : parts[2])};
    for (const std::string_view group : split(parts[3], ',')) identity.groups.emplace_back(group);
    out->tokens_.emplace_back(std::string(parts[0]), std::move(identity));
  }
  return out;
}

Result<> TokenFile::save() const {
  std::string text;
  for (const auto& [hash, identity] : tokens_)
    text += fmt::format("{} {} {} {}\n", hash, identity.user, identity.uid.empty() ? "-" : identity.uid,
                        join(identity.groups, ","));
  return write_file_atomically(path_, text, 0600);
}

Result<> TokenFile::add(std::string_view token, const Identity& identity) {
  const auto bad = [](std::string_view text) { return text.empty() || text.find_first_of(" ,\n\r") != text.npos; };
  if (bad(identity.user) || std::ranges::any_of(identity.groups, bad) || identity.groups.empty())
    return fail(ErrorCode::invalid, "a user or group name is empty or has a space or a comma");
  std::lock_guard lock(mutex_);
  tokens_.emplace_back(sha256_hex(token), identity);
  return save();
}

Result<> TokenFile::remove_user(std::string_view user) {
  std::lock_guard lock(mutex_);
  std::erase_if(tokens_, [&](const auto& entry) { return entry.second.user == user; });
  return save();
}

Result<Identity> TokenFile::authenticate(std::string_view token) const {
  const std::string hash = sha256_hex(token);
  std::lock_guard lock(mutex_);
  const Identity* found = nullptr;
  for (const auto& [known, identity] : tokens_)
    if (equals_in_constant_time(known, hash)) found = &identity;
  if (found == nullptr) return refuse("it is not known");
  return *found;
}

struct AccountTokens::Key {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> value;
};
AccountTokens::AccountTokens(std::unique_ptr<Key> key) : key_(std::move(key)) {}
AccountTokens::~AccountTokens() = default;

Result<std::unique_ptr<AccountTokens>> AccountTokens::open(std::string_view private_key_pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(
      BIO_new_mem_buf(private_key_pem.data(), static_cast<int>(private_key_pem.size())), BIO_free_all);
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr),
                                                          EVP_PKEY_free);
  if (!key || EVP_PKEY_get_bits(key.get()) != 256 || EVP_PKEY_is_a(key.get(), "EC") != 1)
    return fail(ErrorCode::invalid, "the key for service account tokens is no P-256 key in PEM");
  return std::unique_ptr<AccountTokens>(new AccountTokens(std::make_unique<Key>(std::move(key))));
}

Result<std::string> AccountTokens::mint(const AccountToken& token, Wall now) const {
  std::vector<std::string> audiences = token.audiences;
  if (audiences.empty()) audiences.emplace_back(service_account_issuer);
  Json kubernetes = Json::object({{"namespace", token.ns},
                                  {"serviceaccount", Json::object({{"name", token.account}, {"uid", token.account_uid}})}});
  if (!token.pod.empty()) kubernetes = kubernetes.with("pod", Json::object({{"name", token.pod}, {"uid", token.pod_uid}}));
  const Json claims = Json::object({{"aud", Json::strings(audiences)},
                                    {"exp", seconds(token.expires)},
                                    {"iat", seconds(now)},
                                    {"iss", service_account_issuer},
                                    {"jti", SystemRandom().uuid()},
                                    {"kubernetes.io", kubernetes},
                                    {"nbf", seconds(now)},
                                    {"sub", fmt::format("system:serviceaccount:{}:{}", token.ns, token.account)}});
  const std::string text = to_base64url(R"({"alg":"ES256","typ":"JWT"})") + "." + to_base64url(to_json(claims));
  return text + "." + to_base64url(TRY(sign(key_->value.get(), text)));
}

Result<AccountToken> AccountTokens::verify(std::string_view token, Wall now, std::string_view audience) const {
  const auto parts = split(token, '.');
  if (parts.size() != 3 || token.size() > 16 * 1024) return refuse("it is no JWT");
  if (TRY(decode_part(parts[0]))["alg"].as_string() != "ES256") return refuse("its algorithm is not ES256");
  const auto signature = from_base64url(parts[2]);
  if (!signature || !verify_signature(key_->value.get(), token.substr(0, parts[0].size() + 1 + parts[1].size()), *signature))
    return refuse("its signature is wrong");
  const Json claims = TRY(decode_part(parts[1]));
  if (claims["iss"].as_string() != service_account_issuer) return refuse("its issuer is wrong");
  if (!claims["exp"].is_int() || claims["exp"].as_int() <= seconds(now)) return refuse("it has expired");
  if (claims["nbf"].as_int() > seconds(now) + skew_seconds) return refuse("it is not valid yet");
  AccountToken out;
  for (const Json& one : claims["aud"].items()) out.audiences.push_back(one.str());
  if (std::ranges::find(out.audiences, audience) == out.audiences.end()) return refuse("its audience is wrong");
  const Json& kubernetes = claims["kubernetes.io"];
  out.ns = kubernetes["namespace"].str();
  out.account = kubernetes.at_path({"serviceaccount", "name"}).str();
  out.account_uid = kubernetes.at_path({"serviceaccount", "uid"}).str();
  out.pod = kubernetes.at_path({"pod", "name"}).str();
  out.pod_uid = kubernetes.at_path({"pod", "uid"}).str();
  out.expires = Wall(std::chrono::seconds(claims["exp"].as_int()));
  if (out.ns.empty() || out.account.empty()) return refuse("it names no service account");
  return out;
}

}  // namespace slipway::auth
