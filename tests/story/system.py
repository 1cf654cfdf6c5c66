# SPDX-License-Identifier: Apache-2.0
"""The slipway under test: started with a data folder and ports of its own, asked over its API, killed, cleaned up."""
import base64
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import urllib.parse

from .timeline import StoryFailed, check, wait_for

APPS, CORE, SLIPWAY, TEKTON = "/apis/apps/v1", "/api/v1", "/apis/slipway.dev/v1alpha1", "/apis/tekton.dev/v1"
NAMESPACE = "default"
NODE = "local"  # its name in the plane


def free_port(wanted):
    """`wanted` where nobody has it, else any other."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise StoryFailed("no port is free")


def output_of(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def processes():
    """Process id -> arguments, of every process that this user may see."""
    found = {}
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            except OSError:
                continue
    return found


class System:
    """One installation. `binary` is the slipway to test; everything it writes lies in `folder`. `plane`: the real one, None: the embedded."""

    def __init__(self, binary, folder, plane=None):
        self.binary, self.folder, self.plane = str(binary), pathlib.Path(folder), plane
        self.folder.chmod(0o711)  # serve runs as a user of its own, who must come through
        self.data = self.folder / "data"
        self.ca_file = self.folder / "ca.pem"
        self.api_port, self.registry_port, self.https_port = free_port(6443), free_port(5000), free_port(8443)
        self.token = ""
        self.tls, self.api_tls = None, None
        os.environ["no_proxy"] = "*"  # every address of the story is on this machine

    # --- the program

    def slipway(self, *arguments, seconds=60, codes=(0,)):
        environment = dict(os.environ, KUBECONFIG=str(self.data / "kubeconfig"))
        try:
            done = subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=seconds, env=environment)
        except subprocess.TimeoutExpired as late:
            raise StoryFailed(f"slipway {' '.join(map(str, arguments))} did not end in {seconds} s") from late
        check(done.returncode in codes, f"slipway {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def up(self):
        where = []
        if self.plane:
            self.api_port = self.plane.port
            where = ["--kubeconfig", self.plane.kubeconfig, "--node", NODE, "--node-kubeconfig", self.plane.node_kubeconfig]
        self.slipway("up", "--detach", "--data", self.data, "--api-port", self.api_port, "--registry-port", self.registry_port, "--https-port", self.https_port, *where, seconds=90)
        text = (self.data / "kubeconfig").read_text()
        self.token = re.search(r"\"?token\"?: *\"?([^\s\"]+)", text)[1]
        plane_ca = base64.b64decode(re.search(r"\"?certificate-authority-data\"?: *\"?([^\s\"]+)", text)[1]).decode()
        self.api_tls = ssl.create_default_context(cadata=plane_ca)
        # serve's own port has Slipway's own certificate, whatever plane it works on; the plane tells where and which.
        self.ca_file.write_text(self.call("GET", f"{CORE}/namespaces/kube-public/configmaps/slipway-info")["data"]["ca"])
        self.tls = ssl.create_default_context(cafile=str(self.ca_file))
        if self.plane:
            wait_for("the node to be ready", self.node_is_ready, 30)

    def node_is_ready(self):
        node = self.call("GET", f"{CORE}/nodes/{NODE}") or {}
        return any(one["type"] == "Ready" and one["status"] == "True" for one in node.get("status", {}).get("conditions", [])) and not node["spec"].get("taints")

    def down(self, purge=True):
        if self.plane and purge:
            self.empty_plane()
        self.slipway("down", "--data", self.data, *(["--purge"] if purge else []), seconds=120)

    def empty_plane(self):
        """Takes the objects of the story from a plane that Slipway does not own."""
        for group, plural in ((SLIPWAY, "apps"), (APPS, "deployments"), (TEKTON, "pipelineruns")):
            self.call("DELETE", f"{group}/namespaces/{NAMESPACE}/{plural}")
        wait_for("the pods to go", lambda: not self.list(CORE, "pods"), 60)

    def is_ready(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.https_port, context=self.tls, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        finally:
            connection.close()

    # --- the Kubernetes API

    def call(self, method, path, body=None, content_type="application/json"):
        connection = http.client.HTTPSConnection("127.0.0.1", self.api_port, context=self.api_tls, timeout=10)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Authorization": f"Bearer {self.token}", "Content-Type": content_type})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status == 404:
            return None
        check(answer.status < 300, f"{method} {path} answered {answer.status}: {text[:500]}")
        return json.loads(text) if text.startswith("{") else text

    def get(self, group, plural, name):
        return self.call("GET", f"{group}/namespaces/{NAMESPACE}/{plural}/{name}")

    def list(self, group, plural, selector=""):
        query = f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""
        found = self.call("GET", f"{group}/namespaces/{NAMESPACE}/{plural}{query}")
        return found["items"] if found else []

    def app(self):
        found = self.get(SLIPWAY, "apps", "hello") or {}
        return {"history": [], "quarantined": [], "drift": [], "message": "", **found.get("status", {})}

    def pods(self, selector="app=hello"):
        return self.list(CORE, "pods", selector)

    def run_of(self, commit):
        runs = self.list(TEKTON, "pipelineruns", f"slipway.dev/commit={commit}")
        return runs[0] if runs else None

    def tasks_of(self, run):
        return self.list(TEKTON, "taskruns", f"tekton.dev/pipelineRun={run['metadata']['name']}")

    # --- its processes

    def process(self, role):
        """The process of a role: supervisor, serve, worker or node. 0 where there is none."""
        verbs = {"supervisor": "up"}
        for pid, arguments in processes().items():
            if len(arguments) > 2 and arguments[1] == verbs.get(role, role) and str(self.data) in arguments and "--detach" not in arguments:
                return pid
        return 0

    def monitor_of(self, pod):
        """The process of a pod's monitor."""
        for pid, arguments in processes().items():
            if "monitor" in arguments[:3] and any(str(self.data) in one and pod["metadata"]["uid"] in one for one in arguments):
                return pid
        return 0

    def kill(self, role):
        pid = self.process(role)
        check(pid, f"no process {role} runs")
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_started_again(self, role, old, seconds=60):
        def is_new():
            new = self.process(role)
            return new not in (0, old) and self.is_ready()

        wait_for(f"{role} to come back after kill -9", is_new, seconds)

    # --- what must be gone afterwards

    def traces(self):
        """Everything on this machine that an installation may leave."""
        found = set()
        found |= {f"mount {line.split()[4]}" for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(self.data) in line}
        found |= {f"nft {line.strip()}" for line in output_of("nft", "list", "tables").splitlines() if "slipway" in line}
        found |= {f"link {name}" for name in re.findall(r"^\d+: ((?:slip|slv)[^@:\s]*)", output_of("ip", "-o", "link"), re.M)}
        found |= {f"network namespace {line.split()[0]}" for line in output_of("ip", "netns", "list").splitlines() if line.startswith("slip-")}
        found |= {f"process {pid} {' '.join(arguments)[:120]}" for pid, arguments in processes().items()
                  if pid != os.getpid() and any(one == str(self.data) or one.startswith(f"{self.data}/") for one in arguments)}
        if self.data.exists():
            found.add(f"folder {self.data}")
        return found

    # --- what is said when something went wrong

    def diagnosis(self):
        yield "app", self._try("app", "get", "hello", "-o", "json")
        yield "why", self._try("why", "app/hello")
        yield "runs", self._try("run", "list")
        yield "pods", "\n".join(self._pod_line(pod) for pod in self._safely(lambda: self.list(CORE, "pods")))
        yield "events", "\n".join(f"{one.get('reason')} {one['involvedObject'].get('name')}: {one.get('message')}" for one in self._safely(lambda: self.list(CORE, "events"))[-25:])
        for name, text in self.plane.diagnosis() if self.plane else ():
            yield name, text
        log = self.data / "logs" / "slipway.log"
        yield "log", "\n".join(log.read_text(errors="replace").splitlines()[-40:]) if log.exists() else "no log"

    def _try(self, *arguments):
        try:
            return self.slipway(*arguments, seconds=10, codes=range(256))
        except StoryFailed as error:
            return str(error)

    @staticmethod
    def _safely(question):
        try:
            return question()
        except (OSError, StoryFailed):
            return []

    @staticmethod
    def _pod_line(pod):
        states = [f"{one['name']}={'ready' if one.get('ready') else json.dumps(one.get('state'))}" for one in pod.get("status", {}).get("containerStatuses", [])]
        return f"{pod['metadata']['name']} {pod.get('status', {}).get('phase')} {' '.join(states)}"
