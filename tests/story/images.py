# SPDX-License-Identifier: Apache-2.0
"""The base images that the example's Dockerfile names, made of Debian packages where no registry answers for them."""
import os
import shutil
import subprocess
from pathlib import Path

IMAGES = {"gcc:12-bookworm": ["gcc", "libc6-dev", "make"], "debian:12-slim": []}
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]


def cache():
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "slipway" / "images"


def archive_of(name):
    return cache() / (name.replace(":", "-").replace("/", "-") + ".tar")


def prepare(say):
    """Makes the archives that are missing; each takes about half a minute, once a machine."""
    cache().mkdir(parents=True, exist_ok=True)
    for name, packages in IMAGES.items():
        path = archive_of(name)
        if path.exists():
            continue
        if not shutil.which("mmdebstrap"):
            raise SystemExit("mmdebstrap is not installed; ./dev setup installs it")
        say(f"making {name} of Debian packages")
        words = ["mmdebstrap", "--quiet", "--variant=minbase", *[f"--dpkgopt=path-exclude={p}" for p in LEFT_OUT]]
        if packages:
            words.append("--include=" + ",".join(packages))
        temporary = path.with_suffix(f".tmp-{os.getpid()}.tar")
        subprocess.run([*words, "bookworm", str(temporary)], check=True, stdout=subprocess.DEVNULL)
        temporary.rename(path)
