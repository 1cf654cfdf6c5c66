# SPDX-License-Identifier: Apache-2.0
"""Pods and pipelines: from the object to what runs."""
import concurrent.futures
import time

from story.system import CORE, TEKTON

from .installation import IMAGE, NAMESPACE, Watch, remove_all
from .rows import Row, p50, percentile

SINGLE_PODS, PODS_AT_ONCE, TASK_RUNS = 20, 50, 12
RUNS, TASKS_OF_A_RUN, IN_FLIGHT = 20, 4, 10


def pod(name):
    container = {"name": "main", "image": IMAGE, "command": ["sleep", "3600"], "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"bench": "pod"}}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}


def phase(object_):
    return object_.get("status", {}).get("phase", "")


def ended(object_):
    for one in object_.get("status", {}).get("conditions", []):
        if one["type"] == "Succeeded":
            return {"True": "succeeded", "False": "failed"}.get(one["status"], "running")
    return ""


def create(bench, group, plural, body):
    begun = time.monotonic()
    bench.system.call("POST", f"{group}/namespaces/{NAMESPACE}/{plural}", body)
    return begun


def pods(bench):
    """pod created to Running"""
    bench.need_images()
    watch = Watch(bench.system, CORE, "pods", phase)
    took = []
    for number in range(SINGLE_PODS + 1):
        begun = create(bench, CORE, "pods", pod(f"single-{number}"))
        took.append(1000 * (watch.wait(f"single-{number}", "Running", 30) - begun))
    remove_all(bench.system, CORE, "pods", "bench=pod")
    took = took[1:]  # the first one unpacks the image
    begun = time.monotonic()
    for number in range(PODS_AT_ONCE):
        create(bench, CORE, "pods", pod(f"many-{number}"))
    last = max(watch.wait(f"many-{number}", "Running", 120) for number in range(PODS_AT_ONCE))
    remove_all(bench.system, CORE, "pods", "bench=pod")
    watch.close()
    return [Row("pod created → Running, image present, p50", p50(took), "ms", 150, peer=990, peer_name="kubelet + containerd, as listed", note=f"p95 {percentile(took, 0.95):.0f} ms"),
            Row(f"{PODS_AT_ONCE} pods at once → all Running", last - begun, "s", 6, peer=15.5, peer_name="kubelet + containerd, as listed")]


STEP = {"name": "work", "image": IMAGE, "command": ["true"]}


def task_runs(bench):
    """one-step TaskRun created to Succeeded"""
    bench.need_images()
    watch = Watch(bench.system, TEKTON, "taskruns", ended)
    took = []
    for number in range(TASK_RUNS + 1):
        name = f"one-{number}"
        begun = create(bench, TEKTON, "taskruns", {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": name}, "spec": {"taskSpec": {"steps": [STEP]}}})
        took.append(1000 * (watch.wait(name, "succeeded", 60) - begun))
    watch.close()
    return [Row("one-step TaskRun created → Succeeded, p50", p50(took[1:]), "ms", 400, peer=4000, peer_name="Tekton, as listed", note=f"p95 {percentile(took[1:], 0.95):.0f} ms")]


def pipeline_run(name, in_a_row):
    tasks = [{"name": f"t{i}", "taskSpec": {"steps": [STEP]}, **({"runAfter": [f"t{i - 1}"]} if in_a_row and i else {})} for i in range(TASKS_OF_A_RUN)]
    return {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name}, "spec": {"pipelineSpec": {"tasks": tasks}}}


def pipelines(bench):
    """PipelineRuns: in a row, at once, many"""
    bench.need_images()
    watch = Watch(bench.system, TEKTON, "pipelineruns", ended)

    def one(name, in_a_row=False):
        begun = create(bench, TEKTON, "pipelineruns", pipeline_run(name, in_a_row))
        return watch.wait(name, "succeeded", 120) - begun

    one("warm")
    row = p50([one(f"row-{i}", True) for i in range(5)])
    once = p50([one(f"once-{i}") for i in range(5)])
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(lambda i: one(f"many-{i}"), range(RUNS)))
    many = time.monotonic() - begun
    watch.close()
    return [Row("4 one-step tasks in a row, p50", row, "s", 1.5, peer=16.1, peer_name="Tekton, as listed"),
            Row("4 one-step tasks at once, p50", once, "s", 0.8, peer=6.7, peer_name="Tekton, as listed"),
            Row(f"{RUNS} PipelineRuns of {TASKS_OF_A_RUN} parallel tasks, {IN_FLIGHT} in flight", many, "s", 10, peer=47, peer_name="Tekton, as listed")]


GROUP = {"pods": pods, "taskruns": task_runs, "pipelines": pipelines}
