// SPDX-License-Identifier: Apache-2.0
// Where a connected repository comes from: which addresses are taken, and how git reaches one without telling its
// credential to anybody else.
//
// Only https is taken; http for a loopback address that is written out. An address is checked again once its name is
// resolved, and git is held to what was resolved (T18). No redirect is followed, so that a credential reaches the host
// it was given for and no other (T2). Any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace slipway::source {

struct RemoteUrl {
  std::string scheme;  // "https", or "http" on loopback
  std::string host;    // lower case; an IPv6 address without brackets
  std::uint16_t port = 443;
  std::string path;    // "/shop/web.git"
  bool loopback = false;  // written out as localhost, 127.x or ::1

  // Refuses, by name and with what to write instead: ssh, file, git and ext addresses, user names and passwords,
  // queries, and what a shell, a configuration file or an option parser could misread.
  static Result<RemoteUrl> parse(std::string_view text);
  std::string origin() const;  // "https://git.example.com", with the port where it is not the scheme's own
  std::string to_string() const { return origin() + path; }
};

// Whether both name one repository: the same path behind the host, as far as the shorter one goes; ".git" and case do
// not matter. Hosts may differ, because a forge tells its public name.
bool same_repository(std::string_view url, std::string_view other);

struct RemoteCredential {
  std::string username;  // empty: "git"
  std::string token;     // empty: none
  std::string ca_pem;    // empty: the system's authorities
};

enum class AddressUse { fine, loopback, refused };
AddressUse use_of_address(std::string_view address);  // numeric, IPv4 or IPv6

// The addresses of a host; an error where one of them may not be spoken to.
Result<std::vector<std::string>> resolve_remote(const RemoteUrl& url);

// git's configuration for one conversation. It lies in memory alone and is handed on as an open descriptor: neither
// arguments nor environment nor a file holds the token.
struct RemoteSession {
  UniqueFd configuration, authorities;
  std::vector<std::string> environment;  // to add to git's
  std::vector<int> descriptors;          // that git keeps
};
Result<RemoteSession> open_session(const RemoteUrl& url, const RemoteCredential& credential, const std::vector<std::string>& addresses);
std::string session_configuration(const RemoteUrl& url, const RemoteCredential& credential, const std::vector<std::string>& addresses, const std::string& authorities);

// What git said when it failed, as a message with what to do; the token is nowhere in it.
Error remote_error(const RemoteUrl& url, const RemoteCredential& credential, std::string_view git_errors);

}  // namespace slipway::source
