#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real plane as processes: etcd, kube-apiserver, kube-controller-manager and kube-scheduler in a folder of their own.

    plane.py FOLDER         starts it, prints the kubeconfig and runs until SIGTERM or SIGINT
    plane.py --stop FOLDER  ends what a test left running there

The kubelet is Slipway's node agent, with a client certificate of this plane (FOLDER/node.kubeconfig).
"""
import argparse
import base64
import ctypes
import http.client
import json
import os
import pathlib
import secrets
import select
import signal
import socket
import ssl
import subprocess
import sys
import time

if __package__:
    from . import build
else:
    import build

GATEWAY = "10.244.0.1"          # of the pods: where they reach this machine
SERVICES, API_SERVICE = "10.96.0.0/16", "10.96.0.1"
NODE = "local"
LOOPBACK = "127.0.0.1"
READY_LIMIT, STOP_LIMIT = 90, 20


class PlaneFailed(Exception):
    """The plane did not come up; the text says what is missing."""


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise PlaneFailed(f"openssl {arguments[0]}: {done.stderr.strip()[-300:]}")


class Authority:
    """The plane's certificates: one authority for servers and clients."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.new_key("ca")
        openssl("req", "-x509", "-new", "-key", self.key("ca"), "-subj", "/CN=realkube-ca", "-days", "30", "-out", self.certificate("ca"),
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.new_key("accounts")
        openssl("pkey", "-in", self.key("accounts"), "-pubout", "-out", folder / "accounts.pub")

    def key(self, name):
        return self.folder / f"{name}.key"

    def certificate(self, name):
        return self.folder / f"{name}.crt"

    def new_key(self, name):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key(name))

    def sign(self, name, subject, names=()):
        self.new_key(name)
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        usage = f"extendedKeyUsage=serverAuth\nsubjectAltName={','.join(names)}\n" if names else "extendedKeyUsage=clientAuth\n"
        extensions.write_text("keyUsage=critical,digitalSignature\n" + usage)
        openssl("req", "-new", "-key", self.key(name), "-subj", subject, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate("ca"), "-CAkey", self.key("ca"), "-CAcreateserial", "-days", "30", "-extfile", extensions,
                "-out", self.certificate(name))


class Plane:
    """`keep`: the processes go on when the starter ends. `for_pods`: listens where pods reach it too, not on loopback alone."""

    def __init__(self, folder, keep=False, for_pods=False):
        self.folder, self.keep, self.for_pods = pathlib.Path(folder), keep, for_pods
        self.kubeconfig, self.node_kubeconfig = self.folder / "kubeconfig", self.folder / "node.kubeconfig"
        self.ca_file = self.folder / "keys" / "ca.crt"
        self.etcd_port, self.peer_port, self.port = free_ports(3)
        self.token = secrets.token_urlsafe(32)
        self.children = []

    # --- up and down

    def start(self):
        programs = build.programs()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.write_credentials()
        try:
            # One after the other: who finds its server missing tries again only after a growing pause.
            for (name, arguments), awaited in zip(self.commands(), (self.etcd_answers, self.api_answers, None, self.nothing_missing)):
                self.spawn(programs / name, arguments)
                if awaited:
                    self.wait_until(awaited)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        """In the opposite order of the start, each by its process."""
        for child in reversed(self.children):
            child.terminate()
            try:
                child.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children = []
        (self.folder / "pids").unlink(missing_ok=True)

    def spawn(self, program, arguments):
        log = self.folder / f"{program.name}.log"
        with open(log, "ab") as output:
            child = subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=self.keep, cwd=self.folder,
                                     preexec_fn=None if self.keep else die_with_parent)
        self.children.append(child)
        with open(self.folder / "pids", "a") as file:
            file.write(f"{child.pid} {program}\n")

    # --- what they are told

    def write_credentials(self):
        keys = Authority(self.folder / "keys")
        keys.sign("apiserver", "/CN=kube-apiserver", ["DNS:localhost", "DNS:kubernetes.default.svc", "DNS:kubernetes.default.svc.cluster.local",
                                                      *(f"IP:{one}" for one in (LOOPBACK, GATEWAY, API_SERVICE))])
        keys.sign("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        for component in ("controller-manager", "scheduler"):
            keys.sign(component, f"/CN=system:kube-{component}")
            self.write_kubeconfig(self.folder / f"{component}.kubeconfig", self.certificate_of(component))
        keys.sign("node", f"/O=system:nodes/CN=system:node:{NODE}")
        self.write_kubeconfig(self.node_kubeconfig, self.certificate_of("node"))
        self.write_kubeconfig(self.kubeconfig, {"token": self.token})
        self.write_private(self.folder / "tokens.csv", f'{self.token},admin,admin,"system:masters"\n')

    def certificate_of(self, name):
        encoded = [base64.b64encode((self.folder / "keys" / f"{name}.{ending}").read_bytes()).decode() for ending in ("crt", "key")]
        return {"client-certificate-data": encoded[0], "client-key-data": encoded[1]}

    def write_kubeconfig(self, path, user):
        cluster = {"server": f"https://{LOOPBACK}:{self.port}", "certificate-authority-data": base64.b64encode(self.ca_file.read_bytes()).decode()}
        self.write_private(path, json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "real", "clusters": [{"name": "real", "cluster": cluster}], "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "user"}}]}))

    @staticmethod
    def write_private(path, text):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def commands(self):
        etcd, keys = f"http://{LOOPBACK}:{self.etcd_port}", self.folder / "keys"
        yield "etcd", [f"--data-dir={self.folder}/etcd", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}", f"--listen-peer-urls=http://{LOOPBACK}:{self.peer_port}",
                       f"--initial-advertise-peer-urls=http://{LOOPBACK}:{self.peer_port}", f"--initial-cluster=default=http://{LOOPBACK}:{self.peer_port}"]
        # The advertised address may not be of loopback: endpoints of the Service `kubernetes` are for pods.
        yield "kube-apiserver", [
            f"--etcd-servers={etcd}", f"--secure-port={self.port}", f"--advertise-address={GATEWAY}", f"--bind-address={'0.0.0.0' if self.for_pods else LOOPBACK}", f"--cert-dir={self.folder}", f"--tls-cert-file={keys}/apiserver.crt",
            f"--tls-private-key-file={keys}/apiserver.key", f"--client-ca-file={keys}/ca.crt", f"--token-auth-file={self.folder}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local", f"--service-account-key-file={keys}/accounts.pub",
            f"--service-account-signing-key-file={keys}/accounts.key", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            f"--service-cluster-ip-range={SERVICES}", f"--kubelet-client-certificate={keys}/apiserver-kubelet.crt", f"--kubelet-client-key={keys}/apiserver-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP", "--profiling=false"]
        yield "kube-controller-manager", [
            f"--kubeconfig={self.folder}/controller-manager.kubeconfig", "--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=true",
            f"--service-account-private-key-file={keys}/accounts.key", f"--root-ca-file={keys}/ca.crt", "--profiling=false"]
        yield "kube-scheduler", [f"--kubeconfig={self.folder}/scheduler.kubeconfig", "--leader-elect=false", "--secure-port=0", "--profiling=false"]

    # --- ready

    def ask(self, path):
        """The API's answer as text, None where it does not (yet) say 200."""
        connection = http.client.HTTPSConnection(LOOPBACK, self.port, context=ssl.create_default_context(cafile=str(self.ca_file)), timeout=5)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            return text if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    # Each answers what is still missing, None where nothing is.

    def etcd_answers(self):
        try:
            connection = http.client.HTTPConnection(LOOPBACK, self.etcd_port, timeout=5)
            connection.request("GET", "/health")
            return None if connection.getresponse().status == 200 else "etcd's /health"
        except (OSError, http.client.HTTPException):
            return "etcd's /health"
        finally:
            connection.close()

    def api_answers(self):
        return None if self.ask("/readyz") else "kube-apiserver's /readyz"

    def nothing_missing(self):
        """What a test would trip over: the controllers make it soon after the start."""
        for path in ("default/serviceaccounts/default", "default/configmaps/kube-root-ca.crt", "kube-public", "kube-node-lease"):
            if not self.ask(f"/api/v1/namespaces/{path}"):
                return path
        return None

    def wait_until(self, probe):
        deadline = time.monotonic() + READY_LIMIT
        while (missing := probe()):
            for child in self.children:
                if child.poll() is not None:
                    name = pathlib.Path(child.args[0]).name
                    raise PlaneFailed(f"{name} ended with {child.returncode}:\n{self.log_end(name)}")
            if time.monotonic() > deadline:
                raise PlaneFailed(f"the real plane is not ready after {READY_LIMIT} s: {missing} is missing\n{self.log_end('kube-apiserver')}")
            time.sleep(0.05)

    def log_end(self, name, lines=15):
        log = self.folder / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def diagnosis(self):
        for name in build.PROGRAMS:
            yield name, self.log_end(name)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a test that is killed leaves nothing behind


def stop_left(folder):
    """Ends what a plane with `keep` left: only processes that still are what the file says."""
    path = pathlib.Path(folder) / "pids"
    entries = [line.split(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []
    for pid, program in reversed(entries):
        try:
            handle = os.pidfd_open(int(pid))
        except ProcessLookupError:
            continue
        with os.fdopen(handle):
            arguments = pathlib.Path("/proc", pid, "cmdline")
            if arguments.exists() and arguments.read_bytes().split(b"\0")[0].decode() == program:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                select.select([handle], [], [], STOP_LIMIT)
    path.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--stop", action="store_true")
    options = parser.parse_args()
    if options.stop:
        return stop_left(options.folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plane = Plane(options.folder, for_pods=True)
    try:
        plane.start()
        print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
        signal.pause()
    except (PlaneFailed, build.NotBuilt, build.BuildFailed) as error:
        return str(error)
    except KeyboardInterrupt:
        pass
    finally:
        plane.stop()
    return None


if __name__ == "__main__":
    sys.exit(main())
