#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Slipway's parts take on this machine, each beside its peer. `./dev bench` runs it."""
import argparse
import os
import pathlib
import shutil
import signal
import sys
import tempfile

from bench import delivery_rows, image_rows, plane_rows, pod_rows, rows
from bench.installation import Installation
from realkube import build as realkube
from realkube.plane import Plane
from story import images
from story.timeline import StoryFailed

INSIDE = "SLIPWAY_BENCH_ISOLATED"  # set for the process inside the network namespace
ROOT = pathlib.Path(__file__).resolve().parent.parent
GROUPS = {**plane_rows.GROUP, **pod_rows.GROUP, **delivery_rows.GROUP, **image_rows.GROUP}


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=ROOT / "build" / "release" / "bin" / "slipway", type=pathlib.Path)
    parser.add_argument("--load", default=ROOT / "build" / "release" / "bin" / "api_load", type=pathlib.Path, help="the load program")
    parser.add_argument("--json", default=ROOT / "build" / "bench.json", type=pathlib.Path, help="where the figures are written")
    parser.add_argument("--only", metavar="GROUP[,GROUP…]", help="these groups alone")
    parser.add_argument("--real-plane", action="store_true", help="start etcd and kube-apiserver beside it, as the peer of `creates`")
    parser.add_argument("--list", action="store_true", help="the groups and what they measure")
    return parser.parse_args()


def chosen(options):
    names = options.only.split(",") if options.only else list(GROUPS)
    for name in names:
        if name not in GROUPS:
            sys.exit(f"there is no group {name!r}; there are {', '.join(GROUPS)}")
    return names


def measure(options, folder):
    """Each group on one installation; a group that fails does not end the others."""
    plane = Plane(folder / "plane") if options.real_plane else None
    bench = Installation(options.binary, options.load, folder, plane)
    found, failures = [], {}
    try:
        bench.up()
        for name in chosen(options):
            print(f"== {name}: {GROUPS[name].__doc__}", flush=True)
            if plane and name == "creates":
                plane.start()
            try:
                new = GROUPS[name](bench)
                found += new
                print(rows.table(new), flush=True)
            except (StoryFailed, OSError) as failed:
                failures[name] = str(failed)
                print(f"failed: {failed}", flush=True)
            if plane and name == "creates":
                plane.stop()
    finally:
        bench.system.down()
    return found, failures


def interrupted(*_):
    raise StoryFailed("interrupted")


def main():
    options = parse()
    if options.list:
        print("\n".join(f"{name:10} {group.__doc__}" for name, group in GROUPS.items()))
        return 0
    if os.geteuid() != 0:
        sys.exit("the benchmarks run pods and need root")
    for program in (options.binary, options.load):
        if not program.exists():
            sys.exit(f"{program} is not there; ./dev build makes it")
    chosen(options)
    if not os.environ.get(INSIDE):
        images.prepare()
        if options.real_plane:
            realkube.programs()
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    signal.signal(signal.SIGTERM, interrupted)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="slipway-bench-"))
    try:
        found, failures = measure(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows.write(options.json, found, failures)
    missed = sum(row.verdict == "missed" for row in found)
    print(f"\n{rows.table(found)}\n\n{len(found)} rows, {missed} over their target, {len(failures)} groups failed; written to {options.json}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
