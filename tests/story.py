#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole story on this machine: a git push becomes a rollout that corrects itself. `./dev demo` runs it."""
import argparse
import os
import pathlib
import shutil
import signal
import sys
import tempfile

from realkube import build as realkube
from realkube.plane import Plane, PlaneFailed
from story import images
from story.chapters import Story
from story.faults import Faults
from story.prebuilt import Prebuilt
from story.system import System
from story.timeline import StoryFailed, Timeline, check, wait_for
from story.workcopy import WorkCopy

INSIDE = "SLIPWAY_STORY_ISOLATED"  # set for the process inside the namespace
ROOT = pathlib.Path(__file__).resolve().parent.parent


def chapters_of(story):
    faults = Faults(story)
    return {"push": story.first_push, "load": story.second_push, "rollback": story.broken_then_mended, "tests": story.failing_test, "drift": story.drift,
            "kill-run": faults.in_a_run, "kill-rollout": faults.in_a_rollout, "kill-monitor": faults.monitor, "why": story.why}


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plane", default="embedded", choices=["embedded", "real"])
    parser.add_argument("--keep", action="store_true", help="leave the system running")
    parser.add_argument("--binary", default=ROOT / "build" / "release" / "bin" / "slipway", type=pathlib.Path)
    parser.add_argument("--until", metavar="CHAPTER", help="end after this chapter")
    parser.add_argument("--only", metavar="CHAPTER", action="append", help="run these chapters after `push` alone")
    parser.add_argument("--isolated", action="store_true", help="in a network namespace of its own: beside whatever runs on this machine")
    parser.add_argument("--no-pipeline", action="store_true", help="the delivery half alone, with images compiled on this machine")
    return parser.parse_args()


def chosen(chapters, options):
    names = list(chapters)
    for name in [*(options.only or []), *([options.until] if options.until else [])]:
        check(name in names, f"there is no chapter {name!r}; there are {', '.join(names)}")
    if options.only:
        return [name for name in names if name == "push" or name in options.only]
    return names[:names.index(options.until) + 1] if options.until else names


def tell(system, timeline, options):
    """The story itself."""
    if system.plane:
        timeline.chapter("the real plane")
        with timeline.stage("etcd, kube-apiserver, kube-controller-manager and kube-scheduler to ready"):
            system.plane.start()
    timeline.chapter(f"slipway up, data {system.data}")
    with timeline.stage("slipway up to ready"):
        system.up()
    timeline.say(f"API {system.api_port}, registry {system.registry_port}, https {system.https_port}")
    copy = WorkCopy(ROOT / "examples" / "hello", system.folder / "hello", system)
    if not options.no_pipeline:
        images.provide(system, timeline)
    story = Story(system, copy, timeline, Prebuilt(system, copy) if options.no_pipeline else None)
    chapters = chapters_of(story)
    for name in chosen(chapters, options):
        if options.no_pipeline and name == "tests":
            continue
        timeline.chapter(f"{name} - {chapters[name].__doc__}")
        chapters[name]()
        timeline.chapters_passed += 1


def clean_up(system, timeline, before):
    timeline.chapter("clean-up")
    try:
        with timeline.stage("slipway down --purge"):
            system.down()
    finally:
        if system.plane:
            system.plane.stop()
    wait_for(f"nothing to stay behind; there is still {sorted(system.traces() - before)[:10]}", lambda: not system.traces() - before, 10)
    timeline.holds("no process, mount, network namespace, link or nft table stays")
    shutil.rmtree(system.folder)


def say_how_to_look(system):
    print(f"\nIt stays up. To look at it:\n  export KUBECONFIG={system.data}/kubeconfig PATH={pathlib.Path(system.binary).parent}:$PATH\n"
          f"  slipway app get hello; slipway why app/hello; slipway run list\n  kubectl get pods\n"
          f"To end it:\n  slipway down --purge --data {system.data}", flush=True)
    if system.plane:
        print(f"  {ROOT}/tests/realkube/plane.py --stop {system.plane.folder}", flush=True)


def interrupted(*_):
    raise StoryFailed("interrupted")


def refuse(options):
    if os.geteuid() != 0:
        return "the story runs pods and needs root"
    if not options.binary.exists():
        return f"{options.binary} is not there; ./dev build makes it"
    if options.plane == "real":
        try:
            realkube.programs()
        except realkube.NotBuilt as error:
            return f"the real plane cannot be built: {error}"
    return None


def main():
    options = parse()
    why_not = refuse(options)
    if why_not:
        print(f"SKIPPED: {why_not}\n0 passed, 0 failed, 1 skipped")
        return 2
    if options.isolated and not os.environ.get(INSIDE):
        images.prepare()
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    signal.signal(signal.SIGTERM, interrupted)
    timeline = Timeline()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="slipway-story-"))
    system = System(options.binary, folder, Plane(folder / "plane", keep=options.keep, for_pods=True) if options.plane == "real" else None)
    before = system.traces()
    problem = None
    try:
        tell(system, timeline, options)
    except (StoryFailed, PlaneFailed, KeyboardInterrupt, OSError) as failed:
        problem = str(failed) or type(failed).__name__
        timeline.chapter("the story stops here")
        print(problem)
        for name, text in system.diagnosis():
            print(f"\n-- {name}\n{text}", flush=True)
    timeline.print()
    if options.keep:
        say_how_to_look(system)
    else:
        try:
            clean_up(system, timeline, before)
        except (StoryFailed, OSError) as failed:
            problem = f"{problem or ''}\nclean-up: {failed}".strip()
            print(failed)
    print(f"\n{'FAILED: ' + problem if problem else 'the story runs'}")
    print(f"{timeline.chapters_passed} passed, {1 if problem else 0} failed, 0 skipped")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
