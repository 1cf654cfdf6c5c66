# SPDX-License-Identifier: Apache-2.0
"""The base images that the example's Dockerfile names, made of Debian packages where no registry answers for them."""
import pathlib
import subprocess
import urllib.error
import urllib.request

from .timeline import check

# Name in the Dockerfile -> file in the cache and packages beside Debian's minimal set.
BASE_IMAGES = {
    "gcc:12-bookworm": ("gcc-12-bookworm.tar", ["gcc", "libc6-dev", "make"]),
    "debian:12-slim": ("debian-12-slim.tar", []),
}
CACHE = pathlib.Path.home() / ".cache" / "slipway" / "images"


def registry_answers(system):
    """Whether this program pulls, and the registry that short image names mean answers as one."""
    if "pull" not in system.slipway("image", "--help"):
        return False
    try:
        urllib.request.urlopen("https://registry-1.docker.io/v2/", timeout=3)
        return True
    except urllib.error.HTTPError as answer:
        return answer.code == 401
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


def prepare():
    """Makes what is missing in the cache."""
    for name, (file, packages) in BASE_IMAGES.items():
        if not (CACHE / file).exists():
            print(f"{name} is made of Debian packages by mmdebstrap", flush=True)
            make(CACHE / file, packages)


def provide(system, timeline):
    """After this every base image has a name in the local store, or a registry answers for it."""
    if registry_answers(system):
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
