#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The contract of the API: requests and what must be answered, against any Kubernetes API server.

    run.py --kubeconfig F            any server; JSON is read directly, YAML by kubectl
    run.py --serve PROGRAM           starts PROGRAM FOLDER (api_only), which writes FOLDER/kubeconfig
    run.py --plane real              starts the real plane of tests/realkube
    run.py ... [--upstream]          the server is kube-apiserver: differences.yaml is turned round (--plane real does so)
    run.py ... [NAME ...]            only cases whose name contains one of these

Cases stand in *.cases: "## name", then steps of a request line, an optional body, and "=> status" with checks below:
"path == JSON", "path ~ text" (contains), "path exists", "path absent". {ns} is a namespace of the case's own. A check
that begins with a header's name and a colon looks into that header. "within=10" on a request line: the step is repeated for
at most so many seconds until it holds, where a server may take its time.
"""
import argparse
import http.client
import json
import os
import pathlib
import base64
import re
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid

HERE = pathlib.Path(__file__).resolve().parent
METHODS = ("GET ", "POST ", "PUT ", "PATCH ", "DELETE ")


def read_kubeconfig(path):
    text = pathlib.Path(path).read_text()
    try:
        config = json.loads(text)
    except ValueError:
        kubectl = next((k for k in ("kubectl", "kubectl-oracle") if subprocess.run(["which", k], capture_output=True).returncode == 0), None)
        if kubectl is None:
            sys.exit("a kubeconfig in YAML needs kubectl to be read")
        config = json.loads(subprocess.check_output([kubectl, "--kubeconfig", path, "config", "view", "--raw", "-o", "json"]))
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
    return cluster, user


class Api:
    def __init__(self, kubeconfig):
        cluster, user = read_kubeconfig(kubeconfig)
        self.url = urllib.parse.urlparse(cluster["server"])
        data = cluster.get("certificate-authority-data")
        self.context = ssl.create_default_context(cafile=cluster.get("certificate-authority"), cadata=base64.b64decode(data).decode() if data else None)
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
                pair.write(base64.b64decode(user["client-certificate-data"]).decode() + base64.b64decode(user["client-key-data"]).decode())
                pair.flush()
                self.context.load_cert_chain(pair.name)
        self.token = user.get("token")

    def call(self, method, path, body=None, kind="application/json", accept="application/json"):
        connection = http.client.HTTPSConnection(self.url.hostname, self.url.port or 443, context=self.context, timeout=30)
        headers = {"Accept": accept}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        if body:
            headers["Content-Type"] = kind
        try:
            connection.request(method, path, body=body or None, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode(errors="replace")
        finally:
            connection.close()


def parse_cases(path):
    """Yields (name, [steps]); a step is a dict."""
    name, steps = None, []
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            if name:
                yield name, steps
            name, steps = line[3:].strip(), []
        elif line.startswith(METHODS):
            words = line.split()
            options = dict(word.split("=", 1) for word in words[2:])
            steps.append({"method": words[0], "path": words[1], "options": options, "body": "", "status": None, "checks": []})
        elif line.startswith("=> "):
            steps[-1]["status"] = int(line[3:])
        elif line.strip() and not line.startswith("#") and steps:
            if steps[-1]["status"] is None:
                steps[-1]["body"] += line + "\n"
            else:
                steps[-1]["checks"].append(line.strip())
    if name:
        yield name, steps


MISSING = object()


def look_up(value, path):
    for key in re.findall(r"[^.\[\]]+|\[\d+\]", path):
        if key.startswith("["):
            index = int(key[1:-1])
            value = value[index] if isinstance(value, list) and index < len(value) else MISSING
        else:
            value = value.get(key, MISSING) if isinstance(value, dict) else MISSING
        if value is MISSING:
            return MISSING
    return value


def fault_in(check, headers, text):
    if match := re.match(r"([A-Za-z-]+): (.*)", check):
        return None if match[2] in headers.get(match[1], "") else f"header {match[1]} is {headers.get(match[1])!r}, wanted {match[2]!r}"
    match = re.match(r"(\S+) (==|~|exists|absent) ?(.*)", check)
    if not match:
        return f"not a check: {check}"
    try:
        found = look_up(json.loads(text), match[1]) if match[1] != "." else text
    except ValueError:
        found = text if match[1] == "." else MISSING
    good = {"==": lambda: found is not MISSING and found == json.loads(match[3]),
            "~": lambda: match[3] in str(found), "exists": lambda: found is not MISSING, "absent": lambda: found is MISSING}[match[2]]()
    return None if good else f"{check}: found {'nothing' if found is MISSING else json.dumps(found)[:300]}"


def run_step(api, step, namespace):
    """What does not hold; None where all does."""
    fill = lambda text: text.replace("{ns}", namespace)
    status, headers, text = api.call(step["method"], fill(step["path"]), fill(step["body"]).encode(), step["options"].get("type", "application/json"),
                                     step["options"].get("accept", "application/json"))
    if step["status"] is not None and status != step["status"]:
        return f"{status}, wanted {step['status']}: {text[:400]}"
    return next((fault for check in step["checks"] if (fault := fault_in(fill(check), headers, text))), None)


def run_case(api, steps):
    namespace = "contract-" + uuid.uuid4().hex[:8]
    api.call("POST", "/api/v1/namespaces", json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
    try:
        for number, step in enumerate(steps, 1):
            deadline = time.monotonic() + float(step["options"].get("within", 0))
            while (fault := run_step(api, step, namespace)) and time.monotonic() < deadline:
                time.sleep(0.05)
            if fault:
                return f"step {number} ({step['method']} {step['path']}): {fault}"
        return None
    finally:
        api.call("DELETE", "/api/v1/namespaces/" + namespace)


def read_differences():
    """Names of cases with the reason; a flat list, so that no YAML reader is needed."""
    out, name = {}, None
    for line in (HERE / "differences.yaml").read_text().splitlines():
        if match := re.match(r"- case: (.*)", line):
            name = match[1]
        elif (match := re.match(r"  reason: (.*)", line)) and name:
            out[name] = match[1]
    return out


def run_all(api, wanted, upstream):
    differences, bad, count = read_differences(), 0, 0
    for path in sorted(HERE.glob("*.cases")):
        for name, steps in parse_cases(path):
            if wanted and not any(one in name for one in wanted):
                continue
            count += 1
            fault = run_case(api, steps)
            # A listed difference holds only here: upstream answers otherwise.
            if upstream and name in differences:
                print(f"differs {name}: {differences[name]}" if fault else f"NO LONGER DIFFERS {name}")
                bad += fault is None
            elif fault:
                bad += 1
                print(f"FAILED {path.name}: {name}\n  {fault}")
    print(f"{count} cases, {bad} failed")
    return 1 if bad or not count else 0


def run_on_real_plane(names):
    """kube-apiserver itself, as a judge of the cases."""
    sys.path.insert(0, str(HERE.parent))
    from realkube.build import BuildFailed, NotBuilt
    from realkube.plane import Plane, PlaneFailed
    with tempfile.TemporaryDirectory() as folder:
        plane = Plane(pathlib.Path(folder) / "plane")
        try:
            plane.start()
            return run_all(Api(plane.kubeconfig), names, True)
        except NotBuilt as error:
            print(f"SKIPPED: the real plane cannot be built: {error}")
            return 2
        except (PlaneFailed, BuildFailed) as error:
            sys.exit(str(error))
        finally:
            plane.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig")
    parser.add_argument("--serve")
    parser.add_argument("--plane", choices=["real"])
    parser.add_argument("--upstream", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.kubeconfig:
        return run_all(Api(options.kubeconfig), options.names, options.upstream)
    if options.plane:
        return run_on_real_plane(options.names)
    if not options.serve:
        parser.error("--kubeconfig, --serve or --plane is needed")
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([os.path.abspath(options.serve), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            if server.stdout.readline().strip() != b"ready":
                sys.exit("the server did not start")
            code = run_all(Api(folder + "/kubeconfig"), options.names, False)
        finally:
            server.stdin.close()
            ended = server.wait(timeout=60)
        return code or (1 if ended else 0)


sys.exit(main())
