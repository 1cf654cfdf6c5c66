# SPDX-License-Identifier: Apache-2.0
"""From a push to what is applied, and to what serves."""
import datetime
import pathlib
import time

from story.chapters import Story
from story.system import APPS, CORE
from story.timeline import Timeline, wait_for
from story.workcopy import WorkCopy

from .installation import IMAGE
from .rows import Row, p50

EXAMPLE = pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "hello"
COUNT, TIMES = 10, 5


def manifests(generation):
    """10 Deployments and 10 Services whose fields change with each generation."""
    for i in range(COUNT):
        name = f"web-{i}"
        yield f"deploy/{name}.yaml", f"""apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, labels: {{bench: delivery, generation: "{generation}"}}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - {{name: web, image: "{IMAGE}", ports: [{{containerPort: 80}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, labels: {{bench: delivery, generation: "{generation}"}}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80}}]
"""


def apply(bench):
    """commit to 10 Deployments and 10 Services applied"""
    copy = bench.repository("many", dict(manifests(0)))
    from_accepted, from_push = [], []
    for generation in range(1, TIMES + 2):
        for path, text in manifests(generation):
            copy.write(path, text)
        copy.commit(f"generation {generation}")
        begun = time.monotonic()
        copy.push()
        pushed = time.monotonic()
        selector = f"bench=delivery,generation={generation}"
        wait_for("20 objects to be applied", lambda: len(bench.system.list(APPS, "deployments", selector)) == COUNT and len(bench.system.list(CORE, "services", selector)) == COUNT, 30, 0.005)
        done = time.monotonic()
        from_push.append(done - begun)
        from_accepted.append(max(0.0, done - pushed))
    note = f"from the start of git push {p50(from_push[1:]):.2f} s"
    return [Row("commit accepted → 10 Deployments and 10 Services applied, p50", p50(from_accepted[1:]), "s", 0.2, peer=0.43, peer_name="Flux, as listed", note=note)]


def seconds_between(first, last):
    moment = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment(last) - moment(first)).total_seconds()


def serve(bench):
    """push to the new version serving"""
    bench.need_images()
    timeline = Timeline()
    copy = WorkCopy(EXAMPLE, bench.folder / "hello", bench.system)
    story = Story(bench.system, copy, timeline)
    story.first_push()
    took = []
    for version in ("2", "3", "4"):
        story.set_version(version)
        copy.commit(f"version {version}")
        begun = time.monotonic()
        copy.push()
        wait_for(f"version {version} to serve", lambda: story.answer() == f"hello from version {version}", 60, 0.02)
        took.append(time.monotonic() - begun)
        story.serving = version
        wait_for("the rollout to end", story.only_two_ready_pods, 60)
    return [Row("push → new version serving, p50", p50(took), "s", 4, note="the app's compile and its tests included")]


GROUP = {"apply": apply, "serve": serve}
