// SPDX-License-Identifier: Apache-2.0
#include "main/access.h"

#include <fmt/format.h>

#include <map>
#include <mutex>

#include "base/digest.h"
#include "base/strings.h"

namespace slipway::app {
namespace {

using kube::Json;

const kube::Resource token_reviews{"authentication.k8s.io", "v1", "tokenreviews", "TokenReview", false};
const kube::Resource access_reviews{"authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", false};

constexpr std::chrono::seconds answer_life{10};
constexpr std::size_t max_answers = 1024;
constexpr std::size_t max_token = 16 * 1024;

std::unexpected<Error> no_token() { return fail(ErrorCode::unauthenticated, "a token is needed: the password of the kubeconfig's user"); }

class EmbeddedAccess final : public Access {
 public:
  explicit EmbeddedAccess(const auth::TokenFile& tokens) : tokens_(tokens) {}
  // Until roles come, who may is the administrator.
  Result<> may(std::string_view token, const auth::Attributes&) override {
    if (token.empty()) return no_token();
    const auto identity = TRY(tokens_.authenticate(token));
    return identity.in_group("system:masters") ? Result<>{} : fail(ErrorCode::forbidden, identity.user + " may not do this");
  }

 private:
  const auth::TokenFile& tokens_;
};

class PlaneAccess final : public Access {
 public:
  PlaneAccess(kube::Client& client, const Clock& clock) : client_(client), clock_(clock) {}

  Result<> may(std::string_view token, const auth::Attributes& wanted) override {
    if (token.empty()) return no_token();
    if (token.size() > max_token) return fail(ErrorCode::unauthenticated, "the token is too long");
    const std::string key = sha256_hex(token) + text::to_json(reviews::access_review({}, wanted));
    if (const auto known = recall(key)) return *known;
    const auto answer = ask(token, wanted);
    const bool decided = answer || answer.error().code == ErrorCode::forbidden || answer.error().code == ErrorCode::unauthenticated;
    if (decided) remember(key, answer);
    return answer;
  }

 private:
  struct Answer {
    Result<> result;
    Steady until;
  };

  Result<> ask(std::string_view token, const auth::Attributes& wanted) {
    const Json review = TRY(at(client_.create(token_reviews, reviews::token_review(token)), "the plane was asked whose token this is"));
    return check_access(client_, TRY(reviews::identity_of(review)), wanted);
  }

  std::optional<Result<>> recall(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = answers_.find(key);
    if (found == answers_.end() || found->second.until < clock_.steady()) return std::nullopt;
    return found->second.result;
  }

  void remember(const std::string& key, const Result<>& result) {
    const std::lock_guard lock(mutex_);
    const Steady now = clock_.steady();
    std::erase_if(answers_, [&](const auto& entry) { return entry.second.until < now; });
    if (answers_.size() >= max_answers) answers_.clear();
    answers_.insert_or_assign(key, Answer{result, now + answer_life});
  }

  kube::Client& client_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Answer> answers_;
};

std::string words_of(const auth::Attributes& wanted) {
  if (!wanted.path.empty()) return fmt::format("{} {}", wanted.verb, wanted.path);
  std::string words = fmt::format("{} {}", wanted.verb, wanted.resource);
  if (!wanted.subresource.empty()) words += "/" + wanted.subresource;
  if (!wanted.group.empty()) words += "." + wanted.group;
  words += fmt::format(" \"{}\"", wanted.name);
  return wanted.ns.empty() ? words : fmt::format("{} in the namespace \"{}\"", words, wanted.ns);
}

}  // namespace

std::unique_ptr<Access> embedded_access(const auth::TokenFile& tokens) { return std::make_unique<EmbeddedAccess>(tokens); }
std::unique_ptr<Access> plane_access(kube::Client& client, const Clock& clock) { return std::make_unique<PlaneAccess>(client, clock); }

Result<> check_access(kube::Client& client, const auth::Identity& identity, const auth::Attributes& wanted) {
  const Json review = TRY(at(client.create(access_reviews, reviews::access_review(identity, wanted)), "the plane was asked whether this is allowed"));
  return reviews::judge(review, identity, wanted);
}

namespace reviews {

Json token_review(std::string_view token) {
  return Json::object({{"apiVersion", token_reviews.api_version()}, {"kind", token_reviews.kind}, {"spec", Json::object({{"token", token}})}});
}

Result<auth::Identity> identity_of(const Json& review) {
  const Json& status = review["status"];
  const std::string user = status["user"]["username"].str();
  if (!status["authenticated"].as_bool() || user.empty()) return fail(ErrorCode::unauthenticated, "the plane does not know this token");
  auth::Identity identity{.user = user, .groups = {}, .uid = status["user"]["uid"].str()};
  for (const Json& group : status["user"]["groups"].items()) identity.groups.push_back(group.str());
  return identity;
}

Json access_review(const auth::Identity& identity, const auth::Attributes& wanted) {
  Json spec = Json::object({{"user", identity.user}, {"groups", Json::strings(identity.groups)}});
  if (!wanted.path.empty()) {
    spec = spec.with("nonResourceAttributes", Json::object({{"path", wanted.path}, {"verb", wanted.verb}}));
  } else {
    spec = spec.with("resourceAttributes", Json::object({{"verb", wanted.verb}, {"group", wanted.group}, {"resource", wanted.resource}, {"subresource", wanted.subresource},
                                                         {"namespace", wanted.ns}, {"name", wanted.name}}));
  }
  return Json::object({{"apiVersion", access_reviews.api_version()}, {"kind", access_reviews.kind}, {"spec", spec}});
}

Result<> judge(const Json& review, const auth::Identity& identity, const auth::Attributes& wanted) {
  if (review["status"]["allowed"].as_bool()) return {};
  return fail(ErrorCode::forbidden, printable(fmt::format("{} may not {}", identity.user, words_of(wanted))));
}

}  // namespace reviews
}  // namespace slipway::app
