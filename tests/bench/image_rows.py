# SPDX-License-Identifier: Apache-2.0
"""The registry and image builds, beside Debian's docker-registry and buildah."""
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import time

from story.system import free_port
from story.timeline import check, wait_for

from .installation import IMAGE
from .rows import Row, p50

BLOB_BYTES, MANIFEST_GETS, TIMES = 100 << 20, 3000, 5
PIECE = 1 << 20


class Registry:
    """A registry on loopback, asked by the smallest of clients: the same for each."""

    def __init__(self, port, token=None):
        self.port = port
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def call(self, connection, method, path, body=None, headers=None, expect=(200, 201, 202)):
        connection.request(method, path, body, {**self.headers, **(headers or {})})
        answer = connection.getresponse()
        answer.body = answer.read()
        check(answer.status in expect, f"{method} {path} answered {answer.status}: {answer.body[:300]}")
        return answer

    def push_blob(self, connection, data):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        begun = time.monotonic()
        where = self.call(connection, "POST", "/v2/bench/blobs/uploads/").headers["Location"]
        where = where[where.index("/v2/"):]
        self.call(connection, "PUT", f"{where}{'&' if '?' in where else '?'}digest={digest}", data, {"Content-Type": "application/octet-stream"})
        return digest, time.monotonic() - begun

    def pull_blob(self, connection, digest):
        begun = time.monotonic()
        connection.request("GET", f"/v2/bench/blobs/{digest}", headers=self.headers)
        answer = connection.getresponse()
        buffer, size = bytearray(PIECE), 0
        while read := answer.readinto(buffer):
            size += read
        check(answer.status == 200 and size == BLOB_BYTES, f"the blob came with {answer.status} and {size} bytes")
        return time.monotonic() - begun

    def push_manifest(self, connection, layer):
        config = b"{}"
        digest, _ = self.push_blob(connection, config)
        kind = "application/vnd.oci.image.manifest.v1+json"
        body = {"schemaVersion": 2, "mediaType": kind, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": BLOB_BYTES}]}
        self.call(connection, "PUT", "/v2/bench/manifests/one", json.dumps(body), {"Content-Type": kind})
        return kind

    def measure(self):
        """Median seconds of a push and of a pull, and manifests per second on one connection."""
        connection = self.connection()
        pushes, pulls = [], []
        for number in range(TIMES):
            data = number.to_bytes(4, "big") + os.urandom(PIECE - 4) + bytes(BLOB_BYTES - PIECE)
            digest, seconds = self.push_blob(connection, data)
            pushes.append(seconds)
            pulls.append(self.pull_blob(connection, digest))
        kind = self.push_manifest(connection, digest)
        begun = time.monotonic()
        for _ in range(MANIFEST_GETS):
            self.call(connection, "GET", "/v2/bench/manifests/one", headers={"Accept": kind})
        return p50(pushes), p50(pulls), MANIFEST_GETS / (time.monotonic() - begun)


def peer_registry(bench):
    """What Debian's docker-registry does with the same, or nothing where it is not installed."""
    program = shutil.which("docker-registry")
    if not program:
        return None
    folder, port = bench.folder / "peer-registry", free_port(5001)
    folder.mkdir()
    config = folder / "config.yml"
    config.write_text(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n")
    process = subprocess.Popen([program, "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    registry = Registry(port)
    try:
        wait_for("docker-registry to answer", lambda: registry.call(registry.connection(), "GET", "/v2/"), 15)
        return registry.measure()
    finally:
        process.terminate()
        process.wait(10)


def registry(bench):
    """registry: 100 MB and manifests"""
    ours = Registry(bench.system.registry_port, bench.system.token).measure()
    peer = peer_registry(bench)
    push, pull, manifests = peer or (0.51, 0.25, 1809)
    name = "docker-registry, this run" if peer else "distribution 3.1, as listed"
    return [Row("registry push of 100 MB, p50", ours[0], "s", push, peer=push, peer_name=name), Row("registry pull of 100 MB, p50", ours[1], "s", pull, peer=pull, peer_name=name),
            Row("registry manifest GETs, one connection", ours[2], "/s", 10 * manifests, True, manifests, name, note="a client in Python: its own share is in both figures")]


# --- image builds

def context(folder, files, total):
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    block = os.urandom(total // files)
    for number in range(files):
        (folder / "data" / f"f{number}").write_bytes(number.to_bytes(4, "big") + block[4:])
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY data /data\n")
    return folder


def build(bench, folder, tag):
    begun = time.monotonic()
    bench.system.slipway("image", "build", folder, "-t", tag, "--data", bench.system.data, seconds=120)
    return time.monotonic() - begun


class Buildah:
    """Builds with a store of its own, so that nothing on the machine is touched."""

    def __init__(self, folder):
        self.store = ["--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "overlay"]

    def call(self, *arguments):
        done = subprocess.run(["buildah", *map(str, self.store), *map(str, arguments)], capture_output=True, text=True, timeout=300)
        check(done.returncode == 0, f"buildah {arguments[0]} failed: {done.stderr[-500:]}")

    def build(self, folder):
        begun = time.monotonic()
        self.call("build", "--layers", "--isolation", "chroot", "--pull-never", "-t", "bench", folder)
        return time.monotonic() - begun


def peer_builder(bench):
    base = pathlib.Path.home() / ".cache" / "slipway" / "images" / "debian-12-slim.tar"
    if not shutil.which("buildah") or not base.exists():
        return None
    builder = Buildah(bench.folder / "buildah")
    root = bench.folder / "from-base"
    root.mkdir()
    (root / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    os.link(base, root / "base.tar") if base.stat().st_dev == root.stat().st_dev else shutil.copy(base, root / "base.tar")
    builder.call("build", "--isolation", "chroot", "-t", f"docker.io/library/{IMAGE}", root)
    return builder


def builds(bench):
    """COPY of 250 MB, and 3,000 files of which one changed"""
    bench.need_images()
    builder = peer_builder(bench)
    cold, same, peer_cold, peer_same = [], [], [], []
    for number in range(3):
        folder = context(bench.folder / "large", 300, 250_000_000)
        cold.append(build(bench, folder, "bench/large:1"))
        same.append(build(bench, folder, "bench/large:1"))
        if builder:
            peer_cold.append(builder.build(folder))
            peer_same.append(builder.build(folder))
    folder = context(bench.folder / "many", 3000, 3000 * 4096)
    build(bench, folder, "bench/many:1")
    if builder:
        builder.build(folder)
    changed, peer_changed = [], []
    for number in range(5):
        (folder / "data" / "f7").write_text(f"changed {number}")
        changed.append(build(bench, folder, "bench/many:1"))
        if builder:
            peer_changed.append(builder.build(folder))
    peer = (p50(peer_cold), p50(peer_same), p50(peer_changed)) if builder else (6.0, 1.8, None)
    name = "buildah, this run" if builder else "buildah, as listed"
    return [Row("COPY of 250 MB in 300 files, cold", p50(cold), "s", 0.9, peer=peer[0], peer_name=name, note="BuildKit 1.8 s as listed"),
            Row("COPY of 250 MB in 300 files, unchanged", p50(same), "s", 0.04, peer=peer[1], peer_name=name, note="BuildKit 0.08 s as listed"),
            Row("3,000-file context, one file changed", p50(changed), "s", 0.2, peer=peer[2], peer_name=name, note="BuildKit 0.8 s as listed")]


GROUP = {"registry": registry, "builds": builds}
