// SPDX-License-Identifier: Apache-2.0
#include "cd/helm/render.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <functional>

#include "cd/helm/schema.h"
#include "text/yaml.h"

namespace slipway::cd::helm {
namespace {

using text::gotmpl::List;
using text::gotmpl::Object;

// A Go struct: known fields, and methods by name.
class Struct final : public Object {
 public:
  using Method = std::function<Result<Value>(std::span<const Value>)>;
  Struct(Map fields, std::map<std::string, Method, std::less<>> methods, Value printed) : fields_(std::move(fields)), methods_(std::move(methods)), printed_(std::move(printed)) {}
  Result<Value> field(std::string_view name, std::span<const Value> arguments) const override {
    if (auto method = methods_.find(name); method != methods_.end()) return method->second(arguments);
    if (auto found = fields_.find(name); found != fields_.end()) return found->second;
    return fail(ErrorCode::invalid, fmt::format("can't evaluate field {}", name));
  }
  Value plain() const override { return printed_.is_nil() ? Value(fields_) : printed_; }

 private:
  Map fields_;
  std::map<std::string, Method, std::less<>> methods_;
  Value printed_;
};

Value make_struct(Map fields, std::map<std::string, Struct::Method, std::less<>> methods = {}, Value printed = {}) {
  return Value(std::shared_ptr<const Object>(std::make_shared<Struct>(std::move(fields), std::move(methods), std::move(printed))));
}

std::string as_text(std::span<const Value> arguments) { return arguments.empty() ? "" : print(arguments[0]); }

Value files_value(std::map<std::string, std::string> files) {
  Map listed;
  for (const auto& [path, content] : files) listed[path] = content;
  return make_struct({}, {{"Get", [files](std::span<const Value> a) -> Result<Value> { auto f = files.find(as_text(a)); return f == files.end() ? Value("") : Value(f->second); }},
                          {"GetBytes", [files](std::span<const Value> a) -> Result<Value> { auto f = files.find(as_text(a)); return f == files.end() ? Value("") : Value(f->second); }},
                          {"Glob", [files](std::span<const Value> a) -> Result<Value> {
                             std::map<std::string, std::string> kept;
                             std::string pattern = as_text(a);
                             bool deep = pattern.find("**") != pattern.npos;
                             for (const auto& [path, content] : files)
                               if (fnmatch(pattern.c_str(), path.c_str(), deep ? 0 : FNM_PATHNAME) == 0) kept[path] = content;
                             return files_value(std::move(kept));
                           }},
                          {"Lines", [files](std::span<const Value> a) -> Result<Value> {
                             List lines;
                             auto f = files.find(as_text(a));
                             if (f == files.end()) return lines;
                             std::string_view rest = f->second;
                             while (!rest.empty()) {
                               lines.emplace_back(rest.substr(0, rest.find('\n')));
                               rest = rest.find('\n') == rest.npos ? "" : rest.substr(rest.find('\n') + 1);
                             }
                             return lines;
                           }},
                          {"AsConfig", [files](std::span<const Value>) -> Result<Value> {
                             Map map;
                             for (const auto& [path, content] : files) map[path.substr(path.rfind('/') + 1)] = content;
                             if (map.empty()) return Value("");
                             std::string text = text::to_yaml(to_json_value(map));
                             text.pop_back();
                             return text;
                           }}},
                     listed);
}

Value capabilities(const RenderOptions& options) {
  List versions;
  for (std::string_view version : default_api_versions()) versions.emplace_back(version);
  for (const std::string& version : options.api_versions) versions.emplace_back(version);
  std::string version = options.kube_version.starts_with('v') ? options.kube_version : "v" + options.kube_version;
  std::size_t dot = version.find('.');
  std::string major = version.substr(1, dot - 1), minor = dot == version.npos ? "" : version.substr(dot + 1, version.find('.', dot + 1) - dot - 1);
  auto has = [versions](std::span<const Value> a) -> Result<Value> {
    return std::any_of(versions.begin(), versions.end(), [&](const Value& v) { return *v.string() == as_text(a); });
  };
  return make_struct({{"KubeVersion", make_struct({{"Version", version}, {"GitVersion", version}, {"Major", major}, {"Minor", minor}}, {}, version)},
                      {"APIVersions", make_struct({}, {{"Has", has}}, versions)},
                      {"HelmVersion", make_struct({{"Version", "v4.2.3"}})}});
}

Value chart_value(const Chart& chart, bool root) {
  Map fields{{"IsRoot", root}};
  for (const char* name : {"Name", "Home", "Version", "Description", "Icon", "APIVersion", "Condition", "Tags", "AppVersion", "KubeVersion", "Type"}) fields[name] = "";
  for (const char* name : {"Sources", "Keywords", "Maintainers", "Dependencies"}) fields[name] = List{};
  fields["Annotations"] = Map{};
  fields["Deprecated"] = false;
  for (const auto& [key, value] : chart.metadata) {
    std::string field = key == "apiVersion" ? "APIVersion" : key;
    field[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(field[0])));
    if (fields.contains(field) && !value.is_nil()) fields[field] = value.floating() || value.integer() ? Value(print(value)) : value;
  }
  return make_struct(std::move(fields));
}

struct Job {
  std::string path, source, base;
  Value scope;
};

Value collect(const Chart& chart, const Map& values, const std::string& prefix, const Value& release, const Value& capabilities, std::vector<Job>& jobs) {
  Map subcharts, scope{{"Chart", chart_value(chart, prefix == chart.name)}, {"Files", files_value(chart.files)}, {"Release", release}, {"Capabilities", capabilities}, {"Values", values}};
  for (const Chart& sub : chart.charts) {
    auto inner = values.find(sub.name);
    subcharts[sub.name] = collect(sub, inner != values.end() && inner->second.map() ? *inner->second.map() : Map{}, prefix + "/charts/" + sub.name, release, capabilities, jobs);
  }
  scope["Subcharts"] = subcharts;
  auto type = chart.metadata.find("type");
  bool library = type != chart.metadata.end() && type->second.string() && *type->second.string() == "library";
  for (const auto& [path, source] : chart.templates)
    if (!library || path.substr(path.rfind('/') + 1).starts_with('_')) jobs.push_back({prefix + "/" + path, source, prefix + "/templates", scope});
  return scope;
}

Result<> check_schemas(const Chart& chart, const Map& values) {
  if (chart.schema)
    if (auto checked = check_schema(*chart.schema, to_json_value(Value(values))); !checked)
      return fail(checked.error().code, fmt::format("values don't meet the specifications of the schema(s) in the following chart(s):\n{}:\n- {}", chart.name, checked.error().message));
  for (const Chart& sub : chart.charts) {
    const auto scope = values.find(sub.name);
    TRY(check_schemas(sub, scope != values.end() && scope->second.map() ? *scope->second.map() : Map{}));
  }
  return {};
}

bool is_manifest(std::string_view path) { return path.ends_with(".yaml") || path.ends_with(".yml") || path.ends_with(".json"); }

// The crds folders of a chart and of its subcharts.
std::string print_crds(const Chart& chart, const std::string& where) {
  std::string out;
  for (const auto& [path, text] : chart.crds)
    if (is_manifest(path)) out += fmt::format("---\n# Source: {}/{}\n{}\n", where, path, text);
  for (const Chart& sub : chart.charts) out += print_crds(sub, fmt::format("{}/charts/{}", where, sub.name));
  return out;
}

}  // namespace

Result<std::string> render_chart(Chart chart, const Map& given, const RenderOptions& options) {
  TRY(choose_dependencies(chart, coalesce_values(chart, given)));
  if (auto wants = chart.metadata.find("kubeVersion"); wants != chart.metadata.end() && wants->second.string() && !wants->second.string()->empty())
    if (!TRY(version_matches(*wants->second.string(), options.kube_version)))
      return fail(ErrorCode::invalid, fmt::format("chart requires kubeVersion: {} which is incompatible with Kubernetes {}", *wants->second.string(), options.kube_version));
  text::gotmpl::Functions functions = text::gotmpl::builtin_functions();
  add_text_functions(functions);
  add_data_functions(functions);
  add_helm_functions(functions);
  Map release{{"Name", options.release}, {"Namespace", options.namespace_name}, {"IsUpgrade", options.is_upgrade}, {"IsInstall", !options.is_upgrade}, {"Revision", 1}, {"Service", "Helm"}};
  std::vector<Job> jobs;
  const Map values = coalesce_values(chart, given);
  if (options.check_schema) TRY(check_schemas(chart, values));
  collect(chart, values, chart.name, release, capabilities(options), jobs);
  auto depth = [](const Job& job) { return std::count(job.path.begin(), job.path.end(), '/'); };
  std::sort(jobs.begin(), jobs.end(), [&](const Job& a, const Job& b) { return depth(a) != depth(b) ? depth(a) > depth(b) : a.path > b.path; });
  text::gotmpl::TemplateSet set(functions);
  for (const Job& job : jobs) TRY(set.parse(job.path, job.source));
  text::gotmpl::Executor executor(set);
  std::map<std::string, std::string> files;
  for (const Job& job : jobs) {
    std::string name = job.path.substr(job.path.rfind('/') + 1);
    if (name.starts_with('_') || !set.find(job.path)) continue;
    Value scope(*job.scope.map());
    (*scope.map())["Template"] = Map{{"Name", job.path}, {"BasePath", job.base}};
    std::string text = TRY(executor.run(job.path, scope));
    if (!name.ends_with("NOTES.txt")) files[job.path] = std::move(text);
  }
  std::string out = TRY(print_manifests(files, options));
  return options.include_crds ? print_crds(chart, chart.name) + out : out;
}

}  // namespace slipway::cd::helm
