# SPDX-License-Identifier: Apache-2.0
"""Chapters 1 to 7 and 9 of the story: push, pipeline, rollout, load, rollback, failing tests, drift, why."""
import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

from .system import APPS, CORE
from .timeline import check, wait_for

RATE = 200
RUN_LIMIT, ROLLOUT_LIMIT = 180, 90


def condition(object_, kind):
    for one in (object_ or {}).get("status", {}).get("conditions", []):
        if one["type"] == kind:
            return one
    return {}


class Story:
    """What the chapters share. `prebuilt` is None, or makes the image of a version where no pipeline does."""

    def __init__(self, system, copy, timeline, prebuilt=None):
        self.system, self.copy, self.timeline, self.prebuilt = system, copy, timeline, prebuilt
        self.serving = ""  # the version that should answer
        self.was_rolled_back = False

    # --- what people do

    def set_version(self, version):
        path = "src/version.h"
        lines = [line if "HELLO_VERSION" not in line else f'#define HELLO_VERSION "{version}"' for line in self.copy.read(path).splitlines()]
        self.copy.write(path, "\n".join(lines) + "\n")
        if self.prebuilt:
            self.prebuilt(version)

    def commit_and_push(self, version, message):
        commit = self.copy.commit(message)
        with self.timeline.stage(f"push of version {version}") as row:
            self.copy.push()
            row["note"] = commit[:10]
        return commit

    # --- what is awaited

    def run_ended(self, commit):
        run = self.system.run_of(commit)
        return run if condition(run, "Succeeded").get("status") in ("True", "False") else None

    def expect_run(self, commit, outcome):
        if self.prebuilt:
            return None
        with self.timeline.stage("pipeline run") as row:
            wait_for(f"the run of commit {commit[:10]} to begin", lambda: self.system.run_of(commit), 15)
            run = wait_for(f"the run of commit {commit[:10]} to end", lambda: self.run_ended(commit), RUN_LIMIT)
            ended = condition(run, "Succeeded")
            row["note"] = f"{run['metadata']['name']} {ended.get('reason')}"
        check(ended["status"] == outcome, f"the run ended with {ended.get('reason')}: {ended.get('message')}")
        return run

    def healthy_release(self, commit):
        app = self.system.app()
        if app.get("lastHealthy", {}).get("commit") == commit and app.get("applied", {}).get("commit") == commit and app.get("health") == "Healthy":
            return app["lastHealthy"]["release"]
        return None

    def expect_rollout(self, commit, version):
        with self.timeline.stage(f"rollout of version {version}") as row:
            row["note"] = wait_for(f"version {version} to be healthy", lambda: self.healthy_release(commit), ROLLOUT_LIMIT)
        wait_for("both pods of the Deployment, and no other, to be ready", self.only_two_ready_pods, 60)
        self.serving = version
        self.expect_serving()

    def only_two_ready_pods(self):
        pods = self.system.pods()
        return pods if len(pods) == 2 and all(condition(pod, "Ready").get("status") == "True" for pod in pods) else None

    def address(self):
        service = self.system.get(CORE, "services", "hello")
        return service["spec"]["clusterIP"] if service else None

    def answer(self):
        with urllib.request.urlopen(f"http://{self.address()}/", timeout=5) as answer:
            return answer.read().decode().strip()

    def expect_serving(self):
        wanted = f"hello from version {self.serving}"
        wait_for(f"the Service to answer {wanted!r}", lambda: self.answer() == wanted, 10)
        self.timeline.holds(f"curl http://{self.address()}/ -> {wanted}")

    @contextlib.contextmanager
    def load(self, name):
        """200 requests a second while the body runs; none may fail."""
        output = pathlib.Path(self.system.folder) / "load.json"
        output.unlink(missing_ok=True)
        program = pathlib.Path(__file__).with_name("load.py")
        sender = subprocess.Popen([sys.executable, program, self.address(), "80", str(RATE), output])
        try:
            time.sleep(1)  # some load before the change and after it
            yield
            time.sleep(1)
        finally:
            sender.send_signal(signal.SIGTERM)
            sender.wait(timeout=30)
        report = json.loads(output.read_text())
        self.timeline.say(f"load during {name}: {report['sent']} requests in {report['seconds']} s, {report['failed']} failed, "
                          f"p50 {report['p50_ms']} ms, p99 {report['p99_ms']} ms, longest {report['max_ms']} ms; {report['versions']}")
        check(report["failed"] == 0, f"{report['failed']} of {report['sent']} requests failed during {name}: {json.dumps(report['failures'], indent=1)}")
        check(report["sent"] >= 0.9 * RATE * report["seconds"], f"the load was not steady: {report['sent']} requests in {report['seconds']} s")
        self.timeline.holds(f"no request of {report['sent']} failed")

    # --- the chapters

    def first_push(self):
        """1 to 3: push, pipeline, rollout"""
        url = self.system.slipway("repo", "create", "hello").strip()
        self.copy.git("remote", "add", "origin", url)
        self.system.slipway("app", "create", "hello", "--progress-deadline", "30")
        self.set_version("1")
        with self.timeline.stage("push to serving, version 1"):
            commit = self.commit_and_push("1", "hello: Say hello")
            run = self.expect_run(commit, "True")
            self.expect_rollout(commit, "1")
        if run:
            self.check_tasks(run)
            self.check_image(commit)

    def check_tasks(self, run):
        tasks = {one["metadata"]["labels"]["tekton.dev/pipelineTask"]: one for one in self.system.tasks_of(run)}
        check({"unit", "lint", "image"} <= tasks.keys(), f"the run has the tasks {sorted(tasks)}")
        begun = {name: task["status"]["startTime"] for name, task in tasks.items()}
        ended = {name: task["status"]["completionTime"] for name, task in tasks.items()}
        check(begun["unit"] <= ended["lint"] and begun["lint"] <= ended["unit"], "unit and lint did not run beside each other")
        check(begun["image"] >= max(ended["unit"], ended["lint"]), "the image was built before the tests had passed")
        pods = {name: task["status"].get("podName") for name, task in tasks.items() if name in ("unit", "lint")}
        check(all(pods.values()) and len(set(pods.values())) == 2, f"each task has its own pod; these have {pods}")
        told = self.system.call("GET", f"/api/v1/namespaces/default/pods/{pods['unit']}/log?container=step-test")
        check("ok   answers_with_its_version" in str(told), f"the API does not give the log of pod {pods['unit']}:\n{told}")
        self.timeline.holds(f"unit and lint in parallel, each in its own pod ({', '.join(sorted(pods.values()))}), then the image")
        log = self.system.slipway("run", "logs", run["metadata"]["name"])
        check("ok   answers_with_its_version" in log, f"the unit tests' log is not there:\n{log}")
        self.show_tests(tasks["unit"])

    def show_tests(self, task, failures=0):
        summary = json.loads(task["metadata"].get("annotations", {}).get("slipway.dev/test-summary", "{}"))
        check(summary, f"TaskRun {task['metadata']['name']} has no summary of its JUnit report")
        name = task["metadata"]["labels"]["tekton.dev/pipelineTask"]
        self.timeline.say(f"{'TASK':10} {'TESTS':>6} {'FAILED':>6} {'ERRORS':>6}  FIRST FAILING")
        self.timeline.say(f"{name:10} {summary.get('tests', 0):>6} {summary.get('failures', 0):>6} {summary.get('errors', 0):>6}  {summary.get('failing') or '-'}")
        check(summary.get("tests", 0) >= 7 and summary.get("failures", 0) == failures, f"the JUnit summary says {summary}")

    def check_image(self, commit):
        image = self.system.get(APPS, "deployments", "hello")["spec"]["template"]["spec"]["containers"][0]["image"]
        check("@sha256:" in image, f"the Deployment's image is not pinned by digest: {image}")
        self.timeline.holds(f"commit {commit[:10]} runs {image}")

    def second_push(self):
        """4: a second commit under load"""
        self.set_version("2")
        with self.load("the second rollout"):
            commit = self.commit_and_push("2", "hello: Version 2")
            self.expect_run(commit, "True")
            self.expect_rollout(commit, "2")

    def broken_then_mended(self):
        """5: pods that never become ready, the way back, the mended commit"""
        app = self.system.app()
        healthy = app["lastHealthy"]
        self.set_version("3")
        self.copy.replace("deploy/hello.yaml", "path: /healthz", "path: /ready-yet")
        self.copy.replace("deploy/hello.yaml", "initialDelaySeconds: 30", "initialDelaySeconds: 300")
        with self.load("the broken rollout, its way back and the mended one"):
            broken = self.commit_and_push("3", "hello: Ask another path whether it is ready")
            self.expect_run(broken, "True")
            with self.timeline.stage("rollout stops, last healthy release comes back"):
                wait_for("the broken release to be quarantined", lambda: any(one["commit"] == broken for one in self.system.app()["quarantined"]), ROLLOUT_LIMIT)
                wait_for("the last healthy release to be back", lambda: self.system.app().get("applied", {}).get("release") == healthy["release"], 30)
                wait_for("the broken pods to be gone", self.only_two_ready_pods, 60)
            self.check_stays_back(broken, healthy)
            self.was_rolled_back = True
            self.set_version("4")
            self.copy.replace("deploy/hello.yaml", "path: /ready-yet", "path: /healthz")
            mended = self.commit_and_push("4", "hello: Ask the path that is there")
            self.expect_run(mended, "True")
            self.expect_rollout(mended, "4")

    def check_stays_back(self, broken, healthy):
        patch = {"metadata": {"annotations": {"slipway.dev/sync-requested-at": "story"}}}
        self.system.call("PATCH", "/apis/slipway.dev/v1alpha1/namespaces/default/apps/hello", patch, "application/merge-patch+json")
        wait_for("the requested sync to settle", lambda: self.system.app().get("health") == "Healthy", 30)
        app = self.system.app()
        check(app["applied"]["release"] == healthy["release"], f"a new sync brought {app['applied']} back")
        self.expect_serving()
        why = self.system.slipway("why", "app/hello")
        check("quarantined" in why and broken[:10] in why, f"why does not tell of the rollback:\n{why}")
        self.timeline.holds(f"quarantined, and a new sync does not bring it back: {app['message']}")

    def failing_test(self):
        """6: a commit whose unit test fails"""
        before = self.system.app()["applied"]
        self.set_version("5")
        self.copy.replace("src/respond.c", "*status = 404;", "*status = 200;")
        commit = self.commit_and_push("5", "hello: Answer every path")
        run = self.expect_run(commit, "False")
        message = wait_for("the app to say why nothing is deployed",
                           lambda: (text := self.system.app()["message"]) and "failed" in text and run["metadata"]["name"] in text and text, 20)
        for part in ("task unit", "step test", "does_not_know_other_paths"):
            check(part in message, f"the message does not name {part!r}: {message}")
        self.timeline.holds(f"the app says: {message}")
        check(self.system.app()["applied"] == before, "a commit with failing tests was applied")
        tasks = {one["metadata"]["labels"]["tekton.dev/pipelineTask"]: one for one in self.system.tasks_of(run)}
        self.show_tests(tasks["unit"], failures=1)
        self.expect_serving()
        self.copy.replace("src/respond.c", "*status = 200;\n  return \"not found", "*status = 404;\n  return \"not found")

    def drift(self):
        """7: the Service deleted, the Deployment scaled by hand"""
        with self.timeline.stage("drift is seen, shown and corrected") as row:
            self.delete_service_and_scale()
            kinds = wait_for("drift of Service and Deployment to be shown", lambda: {"Service", "Deployment"} <= (seen := {one["kind"] for one in self.system.app()["drift"]}) and seen, 30)
            wait_for("the Service to be back", lambda: self.address(), 30)
            wait_for("the Deployment to have its two replicas", lambda: self.system.get(APPS, "deployments", "hello")["spec"]["replicas"] == 2, 30)
            row["note"] = ", ".join(sorted(kinds))
        for one in self.system.app()["drift"]:
            self.timeline.say(f"{one['kind']} {one['name']}: {one['what']}")
        wait_for("both pods of the Deployment, and no other, to be ready", self.only_two_ready_pods, 60)
        self.expect_serving()

    def delete_service_and_scale(self):
        kubectl = self.kubectl()
        if kubectl:
            for arguments in (["delete", "service", "hello"], ["scale", "deployment", "hello", "--replicas=5"]):
                done = subprocess.run([kubectl, "--kubeconfig", self.system.data / "kubeconfig", *arguments], capture_output=True, text=True, timeout=30)
                self.timeline.say(f"kubectl {' '.join(arguments)}: {done.stdout.strip()}{done.stderr.strip()}")
                check(done.returncode == 0, f"kubectl {' '.join(arguments)} failed: {done.stderr}")
            return
        self.timeline.say("kubectl is not installed; the same requests are sent by this script")
        self.system.call("DELETE", f"{CORE}/namespaces/default/services/hello")
        self.system.call("PATCH", f"{APPS}/namespaces/default/deployments/hello/scale", {"spec": {"replicas": 5}}, "application/merge-patch+json")

    @staticmethod
    def kubectl():
        for path in ("/usr/local/bin/kubectl", "/usr/bin/kubectl"):
            if pathlib.Path(path).exists():
                return path
        return None

    def why(self):
        """9: the whole chain in one answer"""
        text = self.system.slipway("why", "app/hello")
        self.timeline.say(text)
        words = ["app", "release", "object", "pod"] + (["rollback"] if self.was_rolled_back else []) + ([] if self.prebuilt else ["commit", "run", "step", "image"])
        told = {line.split()[0] for line in text.splitlines() if line.strip()}
        check(set(words) <= told, f"why does not tell of {sorted(set(words) - told)}")
        if not self.prebuilt:
            check("@sha256:" in text, "why does not tell the digest")
        self.timeline.holds(f"{', '.join(words)} stand in one answer")
