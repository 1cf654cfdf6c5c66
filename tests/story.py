#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The story: a git push becomes a watched, self-correcting rollout, with a failure at each turn.

Each step has a check that fails when it does not come true. Runs as root; needs no registry.
"""
import argparse
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from story import images  # noqa: E402
from story.load import Load  # noqa: E402
from story.repository import Clone  # noqa: E402
from story.system import StoryError, System, remains, wait_for  # noqa: E402
from story.timeline import Timeline  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "/api/v1/namespaces/default/services/hello"
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/hello"
RUNS = "/apis/tekton.dev/v1/namespaces/default/pipelineruns"
TASK_RUNS = "/apis/tekton.dev/v1/namespaces/default/taskruns"


def check(truth, message):
    if not truth:
        raise StoryError(message)


class Story:
    def __init__(self, system, clone, timeline):
        self.system, self.clone, self.timeline = system, clone, timeline
        self.commits = {}

    # --- looking

    def runs_of(self, commit):
        return [run for run in self.system.list(RUNS) if run["metadata"]["labels"].get("slipway.dev/commit") == commit]

    def outcome(self, commit):
        """"", "True" or "False": of the commit's one run."""
        runs = self.runs_of(commit)
        if not runs:
            return ""
        conditions = runs[0].get("status", {}).get("conditions", [{}])
        return {"True": "True", "False": "False"}.get(conditions[0].get("status"), "")

    def applied(self, commit):
        status = self.system.app().get("status", {})
        return status.get("applied", {}).get("commit") == commit and status.get("sync") == "Synced" and status.get("health") == "Healthy"

    def address(self):
        return self.system.api("GET", SERVICE)["spec"]["clusterIP"]

    def ask(self):
        connection = http.client.HTTPConnection(self.address(), 80, timeout=5)
        connection.request("GET", "/")
        text = connection.getresponse().read().decode().strip()
        connection.close()
        return text

    def deploy(self, name, message):
        commit = self.clone.push(message)
        self.commits[name] = commit
        wait_for(f"the run of {name}", lambda: self.outcome(commit), 180)
        check(self.outcome(commit) == "True", f"the run of {name} failed: {json.dumps(self.runs_of(commit)[0]['status']['conditions'])}")
        return commit

    # --- the steps

    def first(self):
        with self.timeline.stage("1. push; tests, lint and image in pods of their own") as stage:
            commit = self.deploy("v1", "First version")
            tasks = {t["metadata"]["labels"]["tekton.dev/pipelineTask"]: t for t in self.system.list(TASK_RUNS)}
            check({"clone", "unit", "lint", "image"} <= set(tasks), f"tasks: {sorted(tasks)}")
            pods = {tasks[name]["status"]["podName"] for name in ("unit", "lint")}
            check(len(pods) == 2, "unit and lint ran in one pod")
            stage.note = f"commit {commit[:10]}"
        with self.timeline.stage("2. logs and test results of the run"):
            run = self.runs_of(commit)[0]["metadata"]["name"]
            logs = self.system.run("run", "logs", run)
            check("answers_with_its_version" in logs, f"the logs lack the tests: {logs[:300]}")
            tests = self.system.run("run", "tests", run)
            check("unit" in tests and "7" in tests, f"no table of tests: {tests}")
            print(tests, end="")
        with self.timeline.stage("3. the digest goes into the manifests; rollout watched to health") as stage:
            wait_for("version 1", lambda: self.applied(commit), 60)
            image = self.system.api("GET", DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"]
            digest = next(r["value"] for r in tasks["image"]["status"]["results"] if r["name"] == "IMAGE_DIGEST")
            check(image.endswith("@" + digest), f"the Deployment runs {image}, the build made {digest}")
            check(self.ask() == "hello from version 1", f"the Service answers {self.ask()}")
            stage.note = digest[:19]

    def second(self):
        with self.timeline.stage("4. second version under 200 requests a second") as stage, Load(self.address(), 80) as load:
            time.sleep(1)
            self.clone.version(2)
            commit = self.deploy("v2", "Second version")
            wait_for("version 2", lambda: self.applied(commit), 90)
            wait_for("the old pods to go", lambda: len(self.system.pods("app=hello")) == 2, 60)
            time.sleep(1)
            stage.note = load.summary()
        self.no_failure(load)
        check(load.versions == {"hello from version 1", "hello from version 2"}, f"seen: {load.versions}")

    def no_failure(self, load):
        check(not load.failures, f"{len(load.failures)} requests failed, the first: {load.failures[:5]}")

    def third(self):
        with self.timeline.stage("5. third version never becomes ready: rolled back, quarantined") as stage, Load(self.address(), 80) as load:
            self.clone.version(3)
            self.clone.edit("deploy/hello.yaml", "path: /healthz\n              port: http\n            periodSeconds: 1", "path: /broken\n              port: http\n            periodSeconds: 1")
            commit = self.deploy("v3", "Third version, not ready ever")
            status = wait_for("the rollback", lambda: (s := self.system.app()["status"]) and any(q["commit"] == commit for q in s.get("quarantined", [])) and s, 90)
            wait_for("version 2 again", lambda: self.applied(self.commits["v2"]), 60)
            self.system.api("PATCH", "/apis/slipway.dev/v1alpha1/namespaces/default/apps/hello", {"metadata": {"annotations": {"slipway.dev/sync": str(time.time())}}}, "application/merge-patch+json")
            time.sleep(2)
            check(self.applied(self.commits["v2"]), "a new sync brought the quarantined release back")
            stage.note = load.summary()
            self.timeline.say(status.get("message", ""))
        self.no_failure(load)
        check(load.versions == {"hello from version 2"}, f"seen: {load.versions}")
        with self.timeline.stage("   fourth version, mended") as stage, Load(self.address(), 80) as load:
            self.clone.version(4)
            self.clone.edit("deploy/hello.yaml", "/broken", "/healthz")
            commit = self.deploy("v4", "Fourth version, mended")
            wait_for("version 4", lambda: self.applied(commit), 90)
            wait_for("the old pods to go", lambda: len(self.system.pods("app=hello")) == 2, 60)
            stage.note = load.summary()
        self.no_failure(load)
        check(self.ask() == "hello from version 4", f"the Service answers {self.ask()}")

    def fifth(self):
        with self.timeline.stage("6. fifth version fails its unit test: nothing is deployed"):
            self.clone.version(5)
            self.clone.edit("src/respond.c", r'"not found\\n"', '"lost\\n"')
            self.clone.edit("tests/respond_test.c", r'strstr\(out, "404"\) != NULL', 'strstr(out, "not found") != NULL')
            commit = self.clone.push("Fifth version, a test fails")
            wait_for("the run of v5", lambda: self.outcome(commit), 120)
            check(self.outcome(commit) == "False", "the run of the broken commit succeeded")
            message = wait_for("the app to tell", lambda: (m := self.system.app()["status"].get("message", "")) and "does_not_know_other_paths" in m and m, 30)
            self.timeline.say(message)
            check("task unit" in message and "step test" in message, f"the message lacks task or step: {message}")
            check(self.ask() == "hello from version 4" and self.applied(self.commits["v4"]), "something was deployed")

    def drift(self):
        with self.timeline.stage("7. drift is seen, shown and corrected"):
            before = self.system.api("GET", SERVICE)["metadata"]["uid"]
            self.system.api("DELETE", SERVICE)
            self.system.api("PATCH", DEPLOYMENT + "/scale", {"spec": {"replicas": 5}}, "application/merge-patch+json")
            wait_for("the Service again", lambda: self.system.api("GET", SERVICE)["metadata"]["uid"] != before, 30)
            wait_for("two replicas again", lambda: self.system.api("GET", DEPLOYMENT)["spec"]["replicas"] == 2, 30)
            text = self.system.run("why", "app/hello")
            check("drift" in text, f"why does not tell of the drift: {text}")
            wait_for("health", lambda: self.applied(self.commits["v4"]) and len(self.system.pods("app=hello")) == 2, 60)

    def kills(self):
        with self.timeline.stage("8. kill -9 of every process in the middle of a run and of a rollout") as stage:
            self.clone.version(6)
            self.clone.edit("src/respond.c", r'"lost\\n"', '"not found\\n"')
            self.clone.edit(".tekton/push.yaml", "script: make test", "script: |\n                echo begun $(date +%s%N)\n                sleep 4\n                make test\n                echo ended")
            running = {p["metadata"]["uid"]: p["status"]["containerStatuses"][0]["containerID"] for p in self.system.pods("app=hello")}
            commit = self.clone.push("Sixth version, through kills")
            self.commits["v6"] = commit
            wait_for("the unit test to run", lambda: self.unit_pod(commit).get("status", {}).get("phase") == "Running", 60)
            self.kill("node")
            self.kill("serve")
            self.kill("up")
            self.system.up()
            wait_for("the run to end", lambda: self.outcome(commit), 120)
            check(self.outcome(commit) == "True", f"the run did not survive: {json.dumps(self.runs_of(commit)[0]['status']['conditions'])}")
            self.kill("serve")
            self.kill("node")
            wait_for("version 6", lambda: self.applied(commit), 120)
            logs = self.system.run("run", "logs", self.runs_of(commit)[0]["metadata"]["name"])
            check(logs.count("begun ") == 1 and logs.count("] ended") == 1, f"a step ran twice or its log is lost: {logs}")
            check("does_not_know_other_paths" in logs, "log lines are lost")
            check(running, "no pod was running")
            check(self.ask() == "hello from version 6", f"the Service answers {self.ask()}")
            stage.note = "supervisor, serve and node, twice"
        with self.timeline.stage("   kill -9 of a pod's monitor") as stage:
            pods = wait_for("two pods", lambda: len(p := self.system.pods("app=hello")) == 2 and p, 60)
            victim, other = pods[0]["metadata"], pods[1]
            self.kill("monitor", victim["uid"])
            state = wait_for("the restart", lambda: self.restarted(victim["name"]), 60)
            check(state["lastState"]["terminated"]["reason"] == "MonitorLost", f"the reason is {state['lastState']}")
            same = self.system.api("GET", f"/api/v1/namespaces/default/pods/{other['metadata']['name']}")
            check(same["status"]["containerStatuses"][0]["containerID"] == other["status"]["containerStatuses"][0]["containerID"], "the other pod was disturbed")
            wait_for("health", lambda: self.applied(self.commits["v6"]), 60)
            stage.note = f"{victim['name']} restarted: MonitorLost"

    def unit_pod(self, commit):
        run = self.runs_of(commit)[0]["metadata"]["name"]
        pods = self.system.pods(f"tekton.dev/pipelineRun={run},tekton.dev/pipelineTask=unit")
        return pods[0] if pods else {}

    def restarted(self, name):
        status = self.system.api("GET", f"/api/v1/namespaces/default/pods/{name}")["status"]["containerStatuses"][0]
        return status if status["restartCount"] >= 1 and status["ready"] else None

    def kill(self, role, containing=""):
        self.timeline.say(f"kill -9 {role} (pid {self.system.kill(role, containing)})")

    def why(self):
        with self.timeline.stage("9. slipway why app/hello"):
            text = self.system.run("why", "app/hello")
            print(text)
            commit = self.commits["v6"]
            for word in (commit[:10], "step", "@sha256:", "Deployment", "pod", "RolledBack"):
                check(word in text, f"why lacks {word!r}")


def explain(system):
    """The state of things, for whoever reads of a failure."""
    for words in (["app", "get", "hello"], ["run", "list"], ["why", "app/hello"]):
        done = system.run(*words, check=False)
        print(f"--- slipway {' '.join(words)}\n{done.stdout}{done.stderr}", file=sys.stderr)
    log = system.data / "logs" / "slipway.log"
    if log.exists():
        print("--- the last lines of the log\n" + "\n".join(log.read_text(errors="replace").splitlines()[-30:]), file=sys.stderr)


def tell(options, timeline, system, steps, until):
    story = None
    with timeline.stage("slipway up"):
        timeline.say(system.up().strip())
        system.read_credentials()
    with timeline.stage("base images"):
        for name in images.IMAGES:
            system.run("image", "import", str(images.archive_of(name)), name, "--data", str(system.data))
            timeline.say(f"{name} is made of Debian packages, because no registry is asked")
    with timeline.stage("repository and app"):
        system.run("repo", "create", "hello")
        system.run("app", "create", "hello")
        story = Story(system, Clone(system.data.parent / "hello", ROOT / "examples" / "hello", system), timeline)
    for number, step in enumerate(steps, 1):
        getattr(story, step)()
        if until and step == until:
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plane", default="embedded", choices=["embedded", "real"])
    parser.add_argument("--binary", default=str(ROOT / "build" / "release" / "bin" / "slipway"))
    parser.add_argument("--keep", action="store_true", help="leave the system running")
    parser.add_argument("--isolated", action="store_true", help="in a network namespace of its own (for tests)")
    parser.add_argument("--prepare", action="store_true", help="make the base images and stop")
    parser.add_argument("--until", help="stop after this step: first, second, third, fifth, drift, kills, why")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("the story needs root: it runs containers")
    if options.plane == "real":
        sys.exit("--plane real is not there yet: it needs tests/realkube")
    timeline = Timeline()
    images.prepare(timeline.say)
    if options.prepare:
        return 0
    if options.isolated and "SLIPWAY_STORY_ISOLATED" not in os.environ:
        environment = dict(os.environ, SLIPWAY_STORY_ISOLATED="1")
        return subprocess.run(["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv], env=environment).returncode
    folder = Path(tempfile.mkdtemp(prefix="slipway-story-"))
    folder.chmod(0o711)
    system = System(Path(options.binary).resolve(), folder / "data")
    failed = False
    try:
        tell(options, timeline, system, ["first", "second", "third", "fifth", "drift", "kills", "why"], options.until)
        print(timeline.table())
    except (StoryError, subprocess.SubprocessError, OSError, http.client.HTTPException, KeyError, IndexError) as error:
        failed = True
        print(f"\nthe story failed: {type(error).__name__}: {error}", file=sys.stderr)
        explain(system)
    if options.keep:
        print(f"\nIt runs on. To look at it:\n  export KUBECONFIG={system.data}/kubeconfig\n  {options.binary} why app/hello\n  kubectl get pods\n"
              f"To end it:\n  {options.binary} down --purge --data {system.data}")
        return int(failed)
    system.down("--purge")
    left = remains(system)
    shutil.rmtree(folder, ignore_errors=True)
    if left:
        print("the purge left: " + "; ".join(left[:10]), file=sys.stderr)
    print("FAILED" if failed or left else "the story came true; nothing is left of it")
    return int(failed or bool(left))


if __name__ == "__main__":
    sys.exit(main())
