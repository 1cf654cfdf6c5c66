# SPDX-License-Identifier: Apache-2.0
"""Chapter 8: kill -9 of each process in the middle of a run and of a rollout."""
import os
import re
import signal
import socket
import threading

from .chapters import condition
from .timeline import check, wait_for

TICKS = 60
GATEWAY = "10.244.0.1"  # of the pods: this machine


class Beacons:
    """Counts how often each step began, told by the steps themselves: what the logs say is checked apart from it."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((GATEWAY, 0))
        self.port = self.socket.getsockname()[1]
        self.heard = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                self.heard.append(self.socket.recv(256).decode("utf-8", "replace").strip())
            except OSError:
                return

    def close(self):
        self.socket.close()


def containers(pods):
    """Pod name -> what must not change while nothing disturbs it."""
    out = {}
    for pod in pods:
        for one in pod["status"].get("containerStatuses", []):
            running = one.get("state", {}).get("running")
            if running:
                out[pod["metadata"]["name"]] = (pod["metadata"]["uid"], one.get("containerID"), one.get("restartCount"), running.get("startedAt"))
    return out


class Faults:
    def __init__(self, story):
        self.story, self.system, self.timeline = story, story.system, story.timeline

    def undisturbed(self, before, what):
        now = containers(self.system.pods())
        for name in before.keys() & now.keys():
            check(now[name] == before[name], f"{what} disturbed pod {name}: {before[name]} became {now[name]}")
        return now

    def kill(self, role, before, must_keep):
        with self.timeline.stage(f"kill -9 of {role}"):
            old = self.system.kill(role)
            if role == "supervisor":
                wait_for("the supervisor's children to end with it", lambda: not self.system.process("serve") and not self.system.process("node"), 20)
                self.system.up()
            else:
                self.system.wait_started_again(role, old)
        now = self.undisturbed(before, f"kill -9 of {role}")
        if must_keep:
            check(now.keys() == before.keys(), f"kill -9 of {role}: pods {sorted(before)} became {sorted(now)}")

    def roles(self):
        present = [role for role in ("serve", "worker", "node", "supervisor") if self.system.process(role)]
        if "worker" not in present:
            self.timeline.say("no process `worker` runs in this version; serve, node and supervisor are killed")
        return present

    def in_a_run(self):
        """8: kill -9 in the middle of a run"""
        story = self.story
        if story.prebuilt:
            self.timeline.say("not run: without a pipeline there is no run to disturb")
            return
        beacons = Beacons()
        try:
            self.slow_tests(beacons.port)
            story.set_version("6")
            before = containers(story.only_two_ready_pods() or [])
            check(len(before) == 2, "the story needs two running pods")
            commit = story.commit_and_push("6", "hello: Version 6, tested slowly")
            pod = wait_for("the unit step to run", lambda: self.unit_pod_running(commit), 60)
            self.wait_for_live_log(commit)
            for role in self.roles():
                self.kill(role, before, must_keep=True)
            check(not story.run_ended(commit), "the run had ended before everything was killed")
            run = story.expect_run(commit, "True")
            story.expect_rollout(commit, "6")
            self.check_once(run, pod, beacons)
        finally:
            beacons.close()

    def wait_for_live_log(self, commit):
        name = self.system.run_of(commit)["metadata"]["name"]
        with self.timeline.stage("the step's log can be read while it runs"):
            wait_for("a line of the running step", lambda: "tick 2" in self.system.slipway("run", "logs", name, codes=range(256)), 20)

    def slow_tests(self, port):
        story = self.story
        line = f"\t@bash -c 'echo unit-step > /dev/udp/{GATEWAY}/{port}'; for i in $$(seq 1 {TICKS}); do echo \"tick $$i\"; sleep 0.25; done\n"
        text = story.copy.read("Makefile")
        story.copy.write("Makefile", text.replace("test: tests/respond_test.c src/respond.c src/respond.h src/version.h\n",
                                                  "test: tests/respond_test.c src/respond.c src/respond.h src/version.h\n" + line))
        check(line in story.copy.read("Makefile"), "the example's Makefile has no rule `test` that the story knows")

    def unit_pod_running(self, commit):
        run = self.system.run_of(commit)
        for task in self.system.tasks_of(run) if run else []:
            name = task.get("status", {}).get("podName")
            if task["metadata"]["labels"]["tekton.dev/pipelineTask"] == "unit" and name:
                pod = self.system.get("/api/v1", "pods", name)
                return pod if pod and pod["status"].get("phase") == "Running" else None
        return None

    def check_once(self, run, pod, beacons):
        check(beacons.heard == ["unit-step"], f"the unit step began {len(beacons.heard)} times")
        task = next(one for one in self.system.tasks_of(run) if one["metadata"]["labels"]["tekton.dev/pipelineTask"] == "unit")
        check(task["status"].get("podName") == pod["metadata"]["name"], "the task went on in another pod")
        check(not task["status"].get("retriesStatus"), "the task was tried again")
        log = self.system.slipway("run", "logs", run["metadata"]["name"])
        ticks = [int(one) for one in re.findall(r"tick (\d+)$", log, re.M)]
        check(ticks == list(range(1, TICKS + 1)), f"log lines are missing, doubled or out of order: {ticks}")
        self.timeline.holds(f"the step ran once, in the same pod; all {TICKS} of its log lines are there once and in order")

    def in_a_rollout(self):
        """8: kill -9 in the middle of a rollout, under load"""
        story = self.story
        for version, role in enumerate(self.roles(), start=7):
            story.set_version(str(version))
            with story.load(f"kill -9 of {role} in a rollout"):
                commit = story.commit_and_push(str(version), f"hello: Version {version}")
                if role == "serve":  # acknowledged, and at once nobody is there to act on it
                    self.kill(role, containers(self.system.pods()), must_keep=False)
                story.expect_run(commit, "True")
                wait_for("the rollout to begin", lambda: self.system.app().get("attempted", {}).get("commit") == commit, 30)
                self.kill(role, containers(self.system.pods()), must_keep=False)
                story.expect_rollout(commit, str(version))

    def monitor(self):
        """8: kill -9 of a pod's monitor"""
        pods = self.story.only_two_ready_pods()
        check(pods, "the story needs two ready pods")
        victim, other = pods
        before = containers([other])
        name = victim["metadata"]["name"]
        with self.timeline.stage("kill -9 of a pod's monitor"):
            pid = self.system.monitor_of(victim)
            check(pid, f"pod {name} has no monitor")
            os.kill(pid, signal.SIGKILL)

            def restarted():
                pod = self.system.get("/api/v1", "pods", name)
                status = pod["status"]["containerStatuses"][0]
                return pod if status["restartCount"] == 1 and condition(pod, "Ready").get("status") == "True" else None

            pod = wait_for(f"pod {name} to be restarted by its restart policy", restarted, 60)
        reason = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"]
        check(reason == "MonitorLost", f"the container ended with reason {reason}")
        self.undisturbed(before, "the end of another pod's monitor")
        self.timeline.holds(f"{name} ended with reason {reason} and was started again; the other pod was not disturbed")
