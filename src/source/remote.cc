// SPDX-License-Identifier: Apache-2.0
#include "source/remote.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"

namespace slipway::source {
namespace {

constexpr std::size_t max_url = 2048;
constexpr std::size_t max_addresses = 16;

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); }

bool is_host_name(std::string_view host) {
  return !host.empty() && host.size() <= 253 && is_alphanumeric(host.front()) && is_alphanumeric(host.back()) &&
         std::ranges::all_of(host, [](char c) { return is_alphanumeric(c) || c == '-' || c == '.'; });
}

std::unexpected<Error> refuse(std::string_view text, std::string_view why) {
  return fail(ErrorCode::invalid, fmt::format("the address \"{}\" cannot be connected: {}", printable(text.substr(0, 200)), why));
}

// An address of another protocol, told by its name; an empty answer for http and https.
std::string why_not_this_protocol(std::string_view text) {
  const std::string lower = to_lower(text.substr(0, 16));
  if (lower.starts_with("https://") || lower.starts_with("http://")) return {};
  if (lower.starts_with("ssh:") || lower.starts_with("git+ssh:") || (text.find("://") == text.npos && text.find("::") == text.npos && text.find('@') != text.npos && text.find(':') != text.npos))
    return "ssh is not supported; use the repository's https address and a token (--token-file)";
  if (lower.starts_with("file:") || text.starts_with('/') || text.starts_with('.')) return "files of this machine are not read; push to a hosted repository instead (`slipway repo create`)";
  return "only https is taken (http on loopback)";
}

Result<std::uint16_t> parse_port(std::string_view text, std::string_view whole) {
  const auto port = parse_int(text);
  if (!port || *port < 1 || *port > 65535 || text.front() == '+') return refuse(whole, "its port is not a number from 1 to 65535");
  return static_cast<std::uint16_t>(*port);
}

Result<> check_path(std::string_view path, std::string_view whole) {
  if (path.size() < 2) return refuse(whole, "it names no repository");
  for (const auto part : split(path.substr(1), '/'))
    if (part == "." || part == "..") return refuse(whole, "its path holds \"..\" or \".\"");
  const bool plain = std::ranges::all_of(path, [](char c) { return is_alphanumeric(c) || std::string_view("/-._~%+@").find(c) != std::string_view::npos; });
  if (!plain) return refuse(whole, "its path holds a character other than letters, digits and /-._~%+@");
  return {};
}

bool is_numeric(const std::string& host) {
  in6_addr place{};
  return ::inet_pton(AF_INET, host.c_str(), &place) == 1 || ::inet_pton(AF_INET6, host.c_str(), &place) == 1;
}

bool is_written_as_loopback(std::string_view host) { return host == "localhost" || use_of_address(host) == AddressUse::loopback; }

// The part behind the host, as lower-case words: of "https://h/a/B.git" and of "git@h:a/B" alike.
std::vector<std::string> words_of(std::string_view url) {
  if (const auto mark = url.find("://"); mark != url.npos) {
    url.remove_prefix(mark + 3);
    const auto slash = url.find('/');
    url = slash == url.npos ? std::string_view{} : url.substr(slash + 1);
  } else if (const auto colon = url.find(':'); colon != url.npos) {
    url.remove_prefix(colon + 1);
  }
  std::vector<std::string> out;
  for (const auto part : split(url, '/'))
    if (!part.empty()) out.push_back(to_lower(part));
  if (!out.empty() && out.back().ends_with(".git")) out.back().resize(out.back().size() - 4);
  return out;
}

AddressUse use_of_v4(std::uint32_t address) {
  const auto in = [&](std::uint32_t net, int bits) { return address >> (32 - bits) == net >> (32 - bits); };
  if (in(0x7f000000, 8)) return AddressUse::loopback;
  return in(0, 8) || in(0xa9fe0000, 16) || in(0xe0000000, 3) ? AddressUse::refused : AddressUse::fine;  // "this", link-local, multicast and above
}

AddressUse use_of_v6(const in6_addr& address) {
  const auto* bytes = address.s6_addr;
  std::uint32_t last = 0;
  for (int i = 12; i < 16; ++i) last = last << 8 | bytes[i];
  if (IN6_IS_ADDR_LOOPBACK(&address)) return AddressUse::loopback;
  static constexpr unsigned char translated[12] = {0, 0x64, 0xff, 0x9b};
  if (IN6_IS_ADDR_V4MAPPED(&address) || std::equal(bytes, bytes + 12, translated)) return use_of_v4(last);
  const bool refused = IN6_IS_ADDR_UNSPECIFIED(&address) || IN6_IS_ADDR_LINKLOCAL(&address) || IN6_IS_ADDR_MULTICAST(&address) || IN6_IS_ADDR_V4COMPAT(&address);
  return refused ? AddressUse::refused : AddressUse::fine;
}

// A value in git's configuration file.
std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

Result<UniqueFd> in_memory(const char* name, std::string_view content) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd) return fail_errno("cannot make", name);
  TRY(write_all(fd.get(), content));
  return fd;
}

std::string authorization(const RemoteCredential& credential) {
  return to_base64(fmt::format("{}:{}", credential.username.empty() ? "git" : credential.username, credential.token));
}

}  // namespace

Result<RemoteUrl> RemoteUrl::parse(std::string_view text) {
  if (text.empty() || text.size() > max_url) return refuse(text, "it is empty or longer than 2048 characters");
  if (const std::string why = why_not_this_protocol(text); !why.empty()) return refuse(text, why);
  RemoteUrl out;
  out.scheme = to_lower(text.substr(0, text.find(':')));
  std::string_view rest = text.substr(out.scheme.size() + 3);
  const auto slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  if (authority.find('@') != authority.npos) return fail(ErrorCode::invalid, "an address holds no user and no password; give the token by --token-file");
  out.path = slash == rest.npos ? "" : std::string(rest.substr(slash));
  std::string_view port;
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == authority.npos) return refuse(text, "its host is not complete");
    out.host = to_lower(authority.substr(1, end - 1));
    port = authority.substr(end + 1);
    in6_addr address{};
    if (::inet_pton(AF_INET6, out.host.c_str(), &address) != 1) return refuse(text, "its host is not an IPv6 address");
  } else {
    const auto colon = authority.find(':');
    out.host = to_lower(authority.substr(0, colon));
    port = colon == authority.npos ? std::string_view{} : authority.substr(colon);
    if (!is_host_name(out.host)) return refuse(text, "its host is not a name");
  }
  if (!port.empty() && port.front() != ':') return refuse(text, "its host is not complete");
  out.port = out.scheme == "https" ? 443 : 80;
  if (!port.empty()) out.port = TRY(parse_port(port.substr(1).empty() ? "0" : port.substr(1), text));
  TRY(check_path(out.path, text));
  out.loopback = is_written_as_loopback(out.host);
  if (out.scheme == "http" && !out.loopback) return refuse(text, "http tells the token to everybody on the way; use https");
  if (use_of_address(out.host) == AddressUse::refused) return refuse(text, "its host is a link-local, multicast or unspecified address");
  return out;
}

std::string RemoteUrl::origin() const {
  const bool usual = port == (scheme == "https" ? 443 : 80);
  const std::string name = host.find(':') == host.npos ? host : "[" + host + "]";
  return usual ? fmt::format("{}://{}", scheme, name) : fmt::format("{}://{}:{}", scheme, name, port);
}

bool same_repository(std::string_view url, std::string_view other) {
  const auto a = words_of(url), b = words_of(other);
  const auto shorter = std::min(a.size(), b.size());
  return shorter > 0 && std::equal(a.rbegin(), a.rbegin() + static_cast<std::ptrdiff_t>(shorter), b.rbegin());
}

AddressUse use_of_address(std::string_view text) {
  const std::string address(text);
  in_addr v4{};
  if (::inet_pton(AF_INET, address.c_str(), &v4) == 1) return use_of_v4(ntohl(v4.s_addr));
  in6_addr v6{};
  if (::inet_pton(AF_INET6, address.c_str(), &v6) == 1) return use_of_v6(v6);
  return AddressUse::fine;
}

Result<std::vector<std::string>> resolve_remote(const RemoteUrl& url) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int problem = ::getaddrinfo(url.host.c_str(), nullptr, &hints, &found); problem != 0)
    return fail(ErrorCode::unavailable, fmt::format("cannot resolve {}: {}", url.host, ::gai_strerror(problem)));
  std::vector<std::string> out;
  Result<> outcome;
  for (const addrinfo* one = found; one && outcome && out.size() < max_addresses; one = one->ai_next) {
    char text[NI_MAXHOST] = "";
    if (::getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) continue;
    std::string address(text);
    address.resize(std::min(address.size(), address.find('%')));
    const AddressUse use = use_of_address(address);
    if (use == AddressUse::refused || (use == AddressUse::loopback && !url.loopback))
      outcome = fail(ErrorCode::forbidden, fmt::format("{} resolves to {}, which connected repositories may not speak to", url.host, address));
    else if (std::ranges::find(out, address) == out.end()) out.push_back(std::move(address));
  }
  ::freeaddrinfo(found);
  TRY(std::move(outcome));
  if (out.empty()) return fail(ErrorCode::unavailable, fmt::format("{} has no address", url.host));
  return out;
}

std::string session_configuration(const RemoteUrl& url, const RemoteCredential& credential, const std::vector<std::string>& addresses, const std::string& authorities) {
  std::string out = "[http]\n\tfollowRedirects = false\n\tsslVerify = true\n\tlowSpeedLimit = 1000\n\tlowSpeedTime = 30\n";
  if (!authorities.empty()) out += fmt::format("\tsslCAInfo = {}\n", quoted(authorities));
  if (!addresses.empty() && !is_numeric(url.host))
    out += fmt::format("\tcurloptResolve = {}\n", quoted(fmt::format("{}:{}:{}", url.host, url.port, join(addresses, ","))));
  if (!credential.token.empty())
    out += fmt::format("[http {}]\n\textraHeader = {}\n", quoted(url.origin() + "/"), quoted("Authorization: Basic " + authorization(credential)));
  out += "[core]\n\tpackedGitWindowSize = 64m\n\tpackedGitLimit = 512m\n[pack]\n\tthreads = 2\n";  // fits the limit of memory on any machine
  out += "[protocol]\n\tallow = never\n[protocol \"https\"]\n\tallow = always\n";
  if (url.scheme == "http") out += "[protocol \"http\"]\n\tallow = always\n";
  return out;
}

Result<RemoteSession> open_session(const RemoteUrl& url, const RemoteCredential& credential, const std::vector<std::string>& addresses) {
  RemoteSession session;
  std::string authorities;
  if (!credential.ca_pem.empty()) {
    session.authorities = TRY(in_memory("slipway-authorities", credential.ca_pem));
    session.descriptors.push_back(session.authorities.get());
    authorities = fmt::format("/dev/fd/{}", session.authorities.get());
  }
  session.configuration = TRY(in_memory("slipway-git", session_configuration(url, credential, addresses, authorities)));
  session.descriptors.push_back(session.configuration.get());
  session.environment.push_back(fmt::format("GIT_CONFIG_GLOBAL=/dev/fd/{}", session.configuration.get()));
  return session;
}

Error remote_error(const RemoteUrl& url, const RemoteCredential& credential, std::string_view git_errors) {
  const auto has = [&](std::string_view what) { return git_errors.find(what) != git_errors.npos; };
  const std::string where = url.to_string();
  if (has("terminal prompts disabled") || has("could not read Username") || has("Authentication failed") || has("error: 401") || has("error: 403"))
    return {ErrorCode::unauthenticated, credential.token.empty() ? fmt::format("{} asks for a token: `slipway repo connect … --token-file F` stores one", where)
                                                                 : fmt::format("{} refused the token: renew it, or give it the right to read this repository", where), {}};
  if (has("not found") || has("error: 404")) return {ErrorCode::not_found, fmt::format("{} is no repository, or the token may not see it", where), {}};
  if (has("SSL") || has("certificate") || has("TLS")) return {ErrorCode::unavailable, fmt::format("the certificate of {} is not trusted here: give its authority (--ca-file)", url.origin()), {}};
  if (has("error: 301") || has("error: 302") || has("error: 307") || has("error: 308"))
    return {ErrorCode::unavailable, fmt::format("{} answers with a redirect, which is not followed: connect the address that it leads to", where), {}};
  if (has("File too large") || has("file size limit") || has("signal 25")) return {ErrorCode::too_large, fmt::format("{} sends more than 2 GiB at once", where), {}};
  if (has("Out of memory")) return {ErrorCode::too_large, fmt::format("{} sends more than git can hold within its limit of memory; name the branches that matter in spec.connect.branches", where), {}};
  if (has("fsck error") || has("fsck")) return {ErrorCode::invalid, fmt::format("{} sent objects that git's own check refuses", where), {}};
  std::string line;
  for (const auto one : split_lines(trim(git_errors)))
    if (one.starts_with("fatal:") || one.starts_with("error:") || line.empty()) line = std::string(one.substr(0, 300));
  if (!credential.token.empty()) line = replace_all(replace_all(std::move(line), credential.token, "[token]"), authorization(credential), "[token]");
  return {ErrorCode::unavailable, fmt::format("cannot read {}: {}", where, line.empty() ? "git said nothing" : printable(line)), {}};
}

}  // namespace slipway::source
