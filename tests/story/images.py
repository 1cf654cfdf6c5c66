# SPDX-License-Identifier: Apache-2.0
"""The base images that the example's Dockerfile names, made of Debian packages where no registry answers for them."""
import pathlib
import socket
import subprocess

from .timeline import check

# Name in the Dockerfile -> file in the cache and packages beside Debian's minimal set.
BASE_IMAGES = {
    "gcc:12-bookworm": ("gcc-12-bookworm.tar", ["gcc", "libc6-dev", "make"]),
    "debian:12-slim": ("debian-12-slim.tar", []),
}
CACHE = pathlib.Path.home() / ".cache" / "slipway" / "images"


def registry_answers():
    """Whether the registry that short image names mean can be reached."""
    try:
        with socket.create_connection(("registry-1.docker.io", 443), timeout=3):
            return True
    except OSError:
        return False


def make(path, packages):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.tar")
    include = [f"--include={','.join(packages)}"] if packages else []
    done = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
                           *include, "bookworm", part], capture_output=True, text=True, timeout=900)
    check(done.returncode == 0, f"mmdebstrap could not make {path.name}:\n{done.stderr[-2000:]}")
    part.rename(path)


def provide(system, timeline):
    """After this every base image has a name in the local store, or a registry answers for it."""
    if registry_answers():
        timeline.say("a registry answers: base images are pulled when a build needs them")
        return
    for name, (file, packages) in BASE_IMAGES.items():
        path = CACHE / file
        how = "from the cache"
        if not path.exists():
            timeline.say(f"no registry answers: {name} is made of Debian packages by mmdebstrap")
            make(path, packages)
            how = "made by mmdebstrap"
        with timeline.stage(f"import {name}") as row:
            system.slipway("image", "import", path, name, "--data", system.data, seconds=300)
            row["note"] = f"no registry answers; {how}"
