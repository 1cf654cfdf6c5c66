# SPDX-License-Identifier: Apache-2.0
"""A running Slipway of its own: its data folder, its commands, its API, its processes."""
import base64
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path


class StoryError(Exception):
    """A step of the story did not come true."""


def free_port(wanted):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class System:
    def __init__(self, binary, data):
        self.binary, self.data = str(binary), Path(data)
        self.ports = {"api": free_port(6443), "registry": free_port(5000), "https": free_port(8443)}

    # --- commands

    def run(self, *words, check=True, timeout=120, **options):
        environment = dict(os.environ, KUBECONFIG=str(self.data / "kubeconfig"))
        done = subprocess.run([self.binary, *words], capture_output=True, text=True, timeout=timeout, env=environment, **options)
        if check and done.returncode != 0:
            raise StoryError(f"slipway {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout if check else done

    def up(self):
        words = ["up", "--detach", "--data", str(self.data)]
        for name, port in self.ports.items():
            words += [f"--{name}-port", str(port)]
        return self.run(*words)

    def down(self, *flags):
        return self.run("down", *flags, "--data", str(self.data), check=False)

    def read_credentials(self):
        text = (self.data / "kubeconfig").read_text()
        self.token = re.search(r"token: (\S+)", text).group(1)
        ca = base64.b64decode(re.search(r"certificate-authority-data: (\S+)", text).group(1)).decode()
        self.ca_file = self.data.parent / "ca.pem"
        self.ca_file.write_text(ca)
        self.tls = ssl.create_default_context(cadata=ca)

    # --- the API

    def api(self, method, path, body=None, content_type="application/json"):
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports["api"], context=self.tls, timeout=20)
        headers = {"Authorization": "Bearer " + self.token, "Content-Type": content_type}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status >= 300:
            raise StoryError(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text)

    def list(self, path):
        return self.api("GET", path)["items"]

    def app(self, name="hello"):
        return self.api("GET", f"/apis/slipway.dev/v1alpha1/namespaces/default/apps/{name}")

    def pods(self, selector):
        return self.list(f"/api/v1/namespaces/default/pods?labelSelector={selector}")

    # --- processes

    def processes(self):
        """pid -> words of each process of this installation."""
        out = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(word == str(self.data) or word.startswith(f"{self.data}/") for word in words) and int(entry.name) != os.getpid():
                out[int(entry.name)] = words
        return out

    def pid_of(self, role, containing=""):
        found = [pid for pid, words in self.processes().items() if len(words) > 1 and words[1] == role and containing in " ".join(words)]
        if not found:
            raise StoryError(f"there is no process {role} {containing}")
        return found[0]

    def kill(self, role, containing=""):
        pid = self.pid_of(role, containing)
        os.kill(pid, signal.SIGKILL)
        return pid


def wait_for(what, ready, seconds, every=0.05):
    """Calls ready() until it answers something true; the last answer or error is told when the time is over."""
    end, last = time.monotonic() + seconds, None
    while True:
        try:
            last = ready()
            if last:
                return last
        except (StoryError, OSError, http.client.HTTPException) as error:
            last = error
        if time.monotonic() > end:
            raise StoryError(f"{what}: not within {seconds} s (last: {str(last)[:500]})")
        time.sleep(every)


def remains(system):
    """What a purge must not leave behind."""
    out = [f"process {pid} {' '.join(words)[:120]}" for pid, words in system.processes().items()]
    out += [f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if str(system.data) in line]
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    out += [f"link {name}" for name in re.findall(r": (slip0|slv[0-9a-f]+)[@:]", links)]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    out += [line for line in tables.splitlines() if "slipway" in line]
    if system.data.exists() and any(system.data.iterdir()):
        out.append(f"files in {system.data}")
    return out
