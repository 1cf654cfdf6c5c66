# SPDX-License-Identifier: Apache-2.0
"""The control plane: start, rest, writes, watches, reads."""
import os
import pathlib
import subprocess
import time

from story.system import processes

from .rows import Row, percentile, p50

RESTING_SECONDS = 20
OBJECTS, CLIENTS, BYTES = 8000, 8, 1500
WRITES_A_SECOND, WRITE_SECONDS = 1000, 8
READS = [["run", "list"], ["app", "list"], ["repo", "list"], ["status"]]
READ_TIMES = 40


def up(bench):
    """slipway up to ready"""
    return [Row("slipway up to ready", bench.up_seconds, "s", 0.5, peer=2.8, peer_name="etcd + kube-apiserver, as listed")]


def own_processes(bench):
    data = str(bench.system.data)
    return [pid for pid, arguments in processes().items() if any(one == data or one.startswith(f"{data}/") for one in arguments)]


def pss_of(pid):
    for text in (pathlib.Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines():
        if text.startswith("Pss:"):
            return int(text.split()[1]) / 1024
    return 0.0


def cpu_of(pid):
    fields = (pathlib.Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(bench):
    """memory and processor at rest"""
    pids = own_processes(bench)
    before = sum(map(cpu_of, pids))
    time.sleep(RESTING_SECONDS)
    used = (sum(map(cpu_of, pids)) - before) / RESTING_SECONDS
    memory = sum(map(pss_of, pids))
    return [Row("idle memory, all processes", memory, "MB PSS", 60, peer=1163, peer_name="Kubernetes with Tekton, as listed", note=f"{len(pids)} processes"),
            Row("idle processor", 100 * used, "% of a core", 1, peer=5.4, peer_name="Kubernetes with Tekton, as listed")]


def creates(bench):
    """objects created durably"""
    ours = bench.load("create", OBJECTS, CLIENTS, BYTES)
    theirs = bench.load("create", OBJECTS // 4, CLIENTS, BYTES, kubeconfig=bench.plane.kubeconfig) if bench.plane else None
    name = "etcd + kube-apiserver, this run" if theirs else "etcd + kube-apiserver, as listed"
    peer = theirs or {"per_second": 929, "p50_ms": 7.8}
    return [Row(f"objects created durably, {BYTES} bytes, {CLIENTS} clients", ours["per_second"], "/s", 5 * peer["per_second"], True, peer["per_second"], name, f"p99 {ours['p99_ms']:.2f} ms"),
            Row("  of these, one creation, p50", ours["p50_ms"], "ms", None, False, peer["p50_ms"], name)]


def watch(bench):
    """write to event"""
    ours = bench.load("watch", WRITES_A_SECOND, WRITE_SECONDS, CLIENTS)
    note = f"p50 {ours['p50_ms']:.2f} ms, {ours['per_second']:.0f} writes/s"
    return [Row("write sent → event at the watcher, p99", ours["p99_ms"], "ms", 5, peer=7.1, peer_name="kube-apiserver, as listed", note=note)]


def reads(bench):
    """slipway's own reads with the start of the process"""
    environment = dict(os.environ, KUBECONFIG=str(bench.system.data / "kubeconfig"))
    rows = []
    for arguments in READS:
        took = []
        for _ in range(READ_TIMES):
            begun = time.monotonic()
            subprocess.run([bench.binary, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            took.append(1000 * (time.monotonic() - begun))
        rows.append(Row(f"slipway {' '.join(arguments)}, p95", percentile(took, 0.95), "ms", 30, peer=57, peer_name="helm's start, as listed", note=f"p50 {p50(took):.1f} ms"))
    return rows


GROUP = {"up": up, "idle": idle, "creates": creates, "watch": watch, "reads": reads}
