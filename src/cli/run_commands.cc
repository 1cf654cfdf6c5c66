// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <mutex>
#include <set>

#include "base/executor.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/hub.h"
#include "cli/output.h"

namespace slipway::cli {
namespace {

const Json& succeeded(const Json& run) {
  static const Json none;
  for (const Json& condition : run["status"]["conditions"].items())
    if (condition["type"].as_string() == "Succeeded") return condition;
  return none;
}

// A word, never a colour alone (C2).
std::string word_of(const Json& run) {
  const std::string_view status = succeeded(run)["status"].as_string();
  if (status == "True") return "Succeeded";
  return status == "False" ? succeeded(run)["reason"].str("Failed") : "Running";
}

Result<Exit> list(const Invocation& invocation) {
  const auto found = TRY(TRY(connect(invocation))->list(kube::resources::pipeline_runs, {.ns = invocation.get("namespace")}));
  TRY(show(invocation, found.items, true, [&] {
    Table table({"NAME", "STATUS", "COMMIT", "AGE", "MESSAGE"});
    for (const Json& run : found.items)
      table.add({run["metadata"]["name"].str(), word_of(run), run["metadata"]["labels"]["slipway.dev/commit"].str().substr(0, 10), age_of(run), succeeded(run)["message"].str()});
    return table;
  }));
  return Exit::ok;
}

// Waits for the end; the exit code is the run's (C5).
Result<Exit> watch(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  Json run;
  std::string last;
  while (true) {
    TRY(client->watch(kube::resources::pipeline_runs, {.ns = invocation.get("namespace"), .field_selector = "metadata.name=" + invocation.arguments[0], .resource_version = "0"},
                      [&](const kube::WatchEvent& event) {
                        if (event.kind == kube::WatchKind::bookmark) return true;
                        run = event.object;
                        const std::string line = fmt::format("{} {}: {}\n", invocation.arguments[0], word_of(run), succeeded(run)["message"].as_string());
                        if (line != last) progress(last = line);
                        return word_of(run) == "Running" && event.kind != kube::WatchKind::deleted;
                      }, {}));
    if (!run.is_null() && word_of(run) != "Running") break;
  }
  return word_of(run) == "Succeeded" ? Exit::ok : word_of(run) == "Cancelled" ? Exit::cancelled : Exit::failed;
}

// Prints a step's output line by line, each with where it comes from; steps that run at once share the terminal by lines.
class StepPrinter final {
 public:
  StepPrinter(std::string prefix, std::mutex& terminal) : prefix_(std::move(prefix)), terminal_(terminal) {}
  ~StepPrinter() {
    if (!line_.empty()) put(line_);
  }
  void feed(std::string_view bytes) {
    for (auto end = bytes.find('\n'); end != bytes.npos; end = bytes.find('\n')) {
      put(line_ + std::string(bytes.substr(0, end)));
      line_.clear();
      bytes.remove_prefix(end + 1);
    }
    line_ += bytes;
  }

 private:
  void put(const std::string& line) {
    const std::lock_guard lock(terminal_);
    print(prefix_ + line + "\n");
  }
  const std::string prefix_;
  std::mutex& terminal_;
  std::string line_;
};

// Follows each step of a run from its first line on, until the run has ended.
class LogFollower final {
 public:
  LogFollower(kube::Client& client, Hub& hub, std::string ns, std::string run, bool follow)
      : client_(client), hub_(hub), ns_(std::move(ns)), run_(std::move(run)), follow_(follow), executor_(make_system_executor()) {}

  Result<> all() {
    for (;;) {
      const Json run = TRY(client_.get(kube::resources::pipeline_runs, {ns_, run_}));
      const auto tasks = TRY(client_.list(kube::resources::task_runs, {.ns = ns_, .label_selector = "tekton.dev/pipelineRun=" + run_}));
      for (const Json& task : tasks.items) begin_steps(task);
      if (!follow_ || word_of(run) != "Running") break;
      executor_->sleep(std::chrono::milliseconds(200), {});
    }
    for (auto& task : readers_) task->join();
    return {};
  }

 private:
  // The hub has the logs also when the pods are gone; those of an attempt that was retried stand before the last one's.
  void begin_steps(const Json& task) {
    const std::string uid = task["metadata"]["uid"].str(), name = task["metadata"]["labels"]["tekton.dev/pipelineTask"].str();
    const Json& earlier = task["status"]["retriesStatus"];
    for (std::size_t i = 0; i < earlier.size(); ++i) begin_attempt(fmt::format("{}-{}", uid, i), earlier[i]["steps"], name);
    if (const std::string build = task["status"]["imageBuild"].str(); !build.empty()) {
      if (const auto object = client_.get(kube::resources::image_builds, {ns_, build})) begin_attempt((*object)["metadata"]["uid"].str(), task["status"]["steps"], name);
      return;
    }
    if (task["status"]["podName"].as_string().empty()) return;
    begin_attempt(fmt::format("{}-{}", uid, earlier.size()), task["status"]["steps"], name);
  }

  void begin_attempt(const std::string& attempt, const Json& steps, const std::string& task) {
    for (const Json& step : steps.items()) {
      const std::string name = step["name"].str();
      if ((step["running"].is_null() && step["terminated"].is_null()) || !begun_.insert(attempt + "/" + name).second) continue;
      const std::string target = fmt::format("/hub/v1/logs/{}/{}{}", attempt, name, follow_ ? "?follow=true" : "");
      readers_.push_back(executor_->spawn("log", [this, target, prefix = fmt::format("[{} : {}] ", task, name)](const std::stop_token& stop) {
        StepPrinter printer(prefix, terminal_);
        const auto read = hub_.stream(target, [&](std::string_view piece) { printer.feed(piece); }, stop);
        if (!read) progress(prefix + read.error().to_string() + "\n");
      }));
      if (!follow_) readers_.back()->join();  // one after the other: in the order of the steps
    }
  }

  kube::Client& client_;
  Hub& hub_;
  const std::string ns_, run_;
  const bool follow_;
  const std::unique_ptr<Executor> executor_;
  std::mutex terminal_;
  std::set<std::string> begun_;
  std::vector<std::unique_ptr<Task>> readers_;
};

Result<Exit> logs(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const auto hub = TRY(Hub::find(invocation, *client));
  TRY(LogFollower(*client, *hub, invocation.get("namespace"), invocation.arguments[0], invocation.has("follow")).all());
  return Exit::ok;
}

// The test results that the tasks of a run reported.
Result<Exit> tests(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const auto tasks = TRY(client->list(kube::resources::task_runs, {.ns = invocation.get("namespace"), .label_selector = "tekton.dev/pipelineRun=" + invocation.arguments[0]}));
  std::vector<Json> reported;
  std::int64_t bad = 0;
  for (const Json& task : tasks.items) {
    const auto summary = text::parse_json(task["metadata"]["annotations"]["slipway.dev/test-summary"].as_string("null"));
    if (!summary || summary->is_null()) continue;
    bad += (*summary)["failures"].as_int() + (*summary)["errors"].as_int();
    reported.push_back(summary->with("task", task["metadata"]["labels"]["tekton.dev/pipelineTask"]));
  }
  if (reported.empty()) return fail(ErrorCode::not_found, fmt::format("no task of run {} reported tests; JUnit files under a shared workspace are found by themselves, others by the annotation slipway.dev/test-reports", invocation.arguments[0]));
  TRY(show(invocation, reported, true, [&] {
    Table table({"TASK", "TESTS", "PASSED", "FAILED", "ERRORS", "SKIPPED", "FIRST FAILURE"});
    for (const Json& one : reported) {
      const auto count = [&](const char* what) { return one[what].as_int(); };
      table.add({one["task"].str(), std::to_string(count("tests")), std::to_string(count("tests") - count("failures") - count("errors") - count("skipped")), std::to_string(count("failures")),
                 std::to_string(count("errors")), std::to_string(count("skipped")), one["failing"].str()});
    }
    return table;
  }));
  return bad > 0 ? Exit::failed : Exit::ok;
}

// The same run once more: its spec under a new name.
Result<Exit> retry(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const kube::ObjectKey key{invocation.get("namespace"), invocation.arguments[0]};
  const Json run = TRY(client->get(kube::resources::pipeline_runs, key));
  if (word_of(run) == "Running") return fail(ErrorCode::conflict, fmt::format("run {} is still under way; `slipway run cancel {}` stops it", key.name, key.name));
  std::string base = key.name;
  std::int64_t number = 1;
  if (const auto mark = base.rfind("-r"); mark != base.npos)
    if (const auto before = parse_int(std::string_view(base).substr(mark + 2)); before && *before > 0) number = *before + 1, base.resize(mark);
  const Json& old = run["metadata"];
  for (;; ++number) {
    const std::string name = fmt::format("{}-r{}", base, number);
    const Json metadata = Json::object({{"name", name}, {"namespace", key.ns}, {"labels", old["labels"]}, {"annotations", old["annotations"]}});
    const Json again = Json::object({{"apiVersion", run["apiVersion"]}, {"kind", run["kind"]}, {"metadata", metadata}, {"spec", run["spec"].without("status")}});
    auto created = client->create(kube::resources::pipeline_runs, again);
    if (!created && created.error().code == ErrorCode::already_exists && number < 1000) continue;
    TRY(std::move(created));
    print(fmt::format("run/{} created\n", name));
    return Exit::ok;
  }
}

Result<Exit> cancel(const Invocation& invocation) {
  const Json patch = Json::object({{"spec", Json::object({{"status", "Cancelled"}})}});
  TRY(TRY(connect(invocation))->patch(kube::resources::pipeline_runs, {invocation.get("namespace"), invocation.arguments[0]}, kube::PatchType::merge, patch));
  print(fmt::format("run/{} is being cancelled\n", invocation.arguments[0]));
  return Exit::ok;
}

}  // namespace

std::vector<Command> run_commands() {
  return {
      {.path = "run list", .arguments = "", .summary = "List the runs", .flags = with_common({output_flag()}), .run = list},
      {.path = "run watch", .arguments = "NAME", .summary = "Wait for a run to end; the exit code is its outcome", .flags = with_common({}), .run = watch},
      {.path = "run logs", .arguments = "NAME", .summary = "Print the logs of every step of a run", .flags = with_common({{"follow", 'f', "", "go on until the run has ended"}}), .run = logs},
      {.path = "run tests", .arguments = "NAME", .summary = "Show the test results of a run; exit code 1 where one failed", .flags = with_common({output_flag()}), .run = tests},
      {.path = "run retry", .arguments = "NAME", .summary = "Start a run once more, with the same commit", .flags = with_common({}), .run = retry},
      {.path = "run cancel", .arguments = "NAME", .summary = "Stop a run", .flags = with_common({}), .run = cancel},
  };
}

}  // namespace slipway::cli
