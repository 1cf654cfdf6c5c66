# SPDX-License-Identifier: Apache-2.0
"""The slipway that is measured: one installation as `slipway up` makes it, with TLS, fsync, validation and authorization on."""
import http.client
import json
import pathlib
import subprocess
import threading
import time

from story import images
from story.system import CORE, NAMESPACE, System
from story.timeline import Timeline, check, wait_for
from story.workcopy import WorkCopy

IMAGE = "debian:12-slim"


class Installation:
    def __init__(self, binary, load, folder, plane=None):
        self.binary, self.load_program, self.folder, self.plane = pathlib.Path(binary), pathlib.Path(load), pathlib.Path(folder), plane
        self.system = System(binary, folder)
        self.up_seconds = 0.0
        self.has_images = False

    def up(self):
        begun = time.monotonic()
        self.system.up()
        self.up_seconds = time.monotonic() - begun

    def need_images(self):
        if not self.has_images:
            images.provide(self.system, Timeline())
            self.has_images = True

    def repository(self, name, files):
        """A repository and an app of this name; answers a work copy of it, filled but not pushed."""
        url = self.system.slipway("repo", "create", name).strip()
        self.system.slipway("app", "create", name)
        source = self.folder / f"{name}-files"
        for path, text in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
        home = self.folder / f"{name}-home"
        home.mkdir()
        copy = WorkCopyOf(source, home / name, self.system)
        copy.git("remote", "add", "origin", url)
        return copy

    def load(self, *arguments, kubeconfig=None):
        """Runs the load program and answers what it measured."""
        done = subprocess.run([self.load_program, kubeconfig or self.system.data / "kubeconfig", *map(str, arguments)], capture_output=True, text=True, timeout=300)
        check(done.returncode == 0, f"{self.load_program.name} ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)


class WorkCopyOf(WorkCopy):
    """A work copy of files that do not name the registry."""

    def __init__(self, source, folder, system):
        port, system.registry_port = system.registry_port, 5000
        try:
            super().__init__(source, folder, system)
        finally:
            system.registry_port = port


class Watch:
    """Sees the objects of one kind as they change, with the moment at which each state was first seen."""

    def __init__(self, system, group, plural, state_of):
        self.state_of, self.seen, self.changed = state_of, {}, threading.Condition()
        self.connection = http.client.HTTPSConnection("127.0.0.1", system.api_port, context=system.api_tls, timeout=300)
        since = system.call("GET", f"{group}/namespaces/{NAMESPACE}/{plural}")["metadata"]["resourceVersion"]
        self.connection.request("GET", f"{group}/namespaces/{NAMESPACE}/{plural}?watch=1&resourceVersion={since}", headers={"Authorization": f"Bearer {system.token}"})
        self.answer = self.connection.getresponse()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for text in self.answer:
                now = time.monotonic()
                event = json.loads(text)["object"]
                with self.changed:
                    self.seen.setdefault((event["metadata"]["name"], self.state_of(event)), now)
                    self.changed.notify_all()
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            return  # the connection was closed: nobody waits any more

    def wait(self, name, states, seconds):
        """The moment at which `name` was first seen in one of `states`."""
        states = [states] if isinstance(states, str) else list(states)
        with self.changed:
            found = lambda: next((self.seen[(name, state)] for state in states if (name, state) in self.seen), None)
            check(self.changed.wait_for(lambda: found() is not None, seconds), f"{name} was not {' or '.join(states)} after {seconds} s; seen: {[s for n, s in self.seen if n == name]}")
            return found()

    def close(self):
        self.connection.sock.close() if self.connection.sock else None


def remove_all(system, group, plural, selector=None):
    system.call("DELETE", f"{group}/namespaces/{NAMESPACE}/{plural}" + (f"?labelSelector={selector}" if selector else ""))
    wait_for(f"the {plural} to go", lambda: not system.list(group, plural, selector or ""), 120)


__all__ = ["CORE", "IMAGE", "Installation", "NAMESPACE", "Watch", "remove_all"]
