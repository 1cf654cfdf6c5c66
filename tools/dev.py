#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The developer's commands behind ./dev. Each prints what it does; `./dev help` lists them."""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
DEPS = BUILD / "deps"
SCHEMA_WHEEL = "kubernetes_validate-1.37.0-py3-none-any.whl"
SCHEMA_SHA256 = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"

PACKAGES = """
build-essential cmake ninja-build ccache mold pkg-config git python3 python3-pip clang-19 clang-format-19 clang-tidy-19
libclang-rt-19-dev libssl-dev libcurl4-openssl-dev libnghttp2-dev libyaml-dev libsqlite3-dev libre2-dev zlib1g-dev
libzstd-dev libfmt-dev libseccomp-dev libcap-dev doctest-dev runc nftables iproute2 mmdebstrap busybox-static curl
openssl skopeo buildah docker-registry zstd ca-certificates
""".split()


# A clone elsewhere finds what was compiled before.
os.environ.setdefault("CCACHE_BASEDIR", str(ROOT))
os.environ.setdefault("CCACHE_NOHASHDIR", "1")


def say(text):
    print(f"== {text}", flush=True)


def call(arguments, **options):
    return subprocess.run([str(a) for a in arguments], check=True, **options)


def is_installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True)
    return done.stdout.endswith("ok installed")


def setup(_=None):
    missing = [p for p in PACKAGES if not is_installed(p)]
    if missing:
        if os.geteuid() != 0:
            sys.exit(f"setup needs root once, to install: {' '.join(missing)}")
        say(f"install {' '.join(missing)}")
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        call(["apt-get", "update", "-qq"], env=environment)
        call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=environment, stdout=subprocess.DEVNULL)
    DEPS.mkdir(parents=True, exist_ok=True)
    wheel = DEPS / SCHEMA_WHEEL
    if not wheel.exists():
        say("fetch the Kubernetes schemas")
        call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", DEPS, "kubernetes-validate==1.37.0"])
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SCHEMA_SHA256:
        sys.exit(f"{wheel} is not the pinned file")


def jobs():
    return str(os.cpu_count() or 2)


def build(preset="release", targets=()):
    setup()
    if not (BUILD / preset / "build.ninja").exists():
        call(["cmake", "--preset", preset, "-S", ROOT], cwd=ROOT, stdout=subprocess.DEVNULL)
    say(f"build {preset}")
    began = time.time()
    call(["ninja", "-C", BUILD / preset, "-j", jobs(), "--quiet", *targets])
    say(f"built {preset} in {time.time() - began:.0f} s")


def counts_of(text):
    """Passed, failed and skipped test cases of a doctest run."""
    found = re.search(r"test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed \|\s*(\d+) skipped", text)
    return (int(found[2]), int(found[3]), 0) if found else (0, 1, 0)


def run_unit(binary):
    began = time.time()
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", SLIPWAY_BUILD=str(BUILD))
    try:
        done = subprocess.run([binary], capture_output=True, text=True, errors="replace", timeout=600, env=environment, cwd=ROOT)
        text, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        text, code = f"{late.stdout}\n{binary.name} did not end in 600 s", 1
    passed, failed, skipped = counts_of(text)
    for line in text.splitlines():
        if line.startswith("SKIPPED: "):
            skipped += 1
            print(f"   {binary.name}: {line}")
    if code and not failed:
        failed = 1
    return binary.name, passed, failed, skipped, time.time() - began, text if failed else ""


def run_scripts(names, flags=(), label=None):
    rows = []
    for name in names:
        began = time.time()
        done = subprocess.run([sys.executable, ROOT / "tests" / name, *flags], capture_output=True, text=True, cwd=ROOT)
        found = re.search(r"(\d+) passed, (\d+) failed, (\d+) skipped", done.stdout)
        passed, failed, skipped = (int(found[i]) for i in (1, 2, 3)) if found else (0, 1, 0)
        for line in done.stdout.splitlines():
            if line.startswith("SKIPPED: "):
                print(f"   {name}: {line}")
        if done.returncode and not failed and not skipped:
            failed = 1
        rows.append((label or name, passed, failed, skipped, time.time() - began, done.stdout + done.stderr if failed else ""))
    return rows


def contract():
    """The API's cases against the API alone."""
    began = time.time()
    build("asan", ["api_only"])
    done = subprocess.run([sys.executable, ROOT / "tests" / "contract" / "run.py", "--serve", BUILD / "asan" / "bin" / "api_only"], capture_output=True, text=True, cwd=ROOT)
    found = re.search(r"(\d+) cases, (\d+) failed", done.stdout)
    cases, failed = (int(found[1]), int(found[2])) if found else (1, 1)
    if done.returncode and not failed:
        failed = 1
    return [("contract", cases - min(failed, cases), failed, 0, time.time() - began, done.stdout + done.stderr if failed else "")]


def contract_on_real_plane():
    """The same cases against kube-apiserver, in a network namespace of its own where that is allowed."""
    began = time.time()
    command = [sys.executable, ROOT / "tests" / "contract" / "run.py", "--plane", "real"]
    if os.geteuid() == 0:
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    for line in done.stdout.splitlines():
        if line.startswith("SKIPPED: "):
            print(f"   contract: {line}")
            return [("contract, real plane", 0, 0, 1, time.time() - began, "")]
    found = re.search(r"(\d+) cases, (\d+) failed", done.stdout)
    cases, failed = (int(found[1]), int(found[2])) if found else (1, 1)
    if done.returncode and not failed:
        failed = 1
    return [("contract, real plane", cases - min(failed, cases), failed, 0, time.time() - began, done.stdout + done.stderr if failed else "")]


def real_plane():
    """What needs etcd and kube-apiserver: built once from their Go modules, then cached."""
    say("build the real plane (about ten minutes of CPU once)")
    subprocess.run([sys.executable, ROOT / "tests" / "realkube" / "build.py"])  # what goes wrong is told by the stages below
    return contract_on_real_plane() + run_scripts(["story.py"], ["--isolated", "--plane", "real"], "story.py, real plane")


# Folders whose promises are about threads.
THREADED = ["test_store", "test_net", "test_kube", "test_run", "test_ci_tekton", "test_hub", "test_source", "test_forge"]


def threads():
    """The same unit tests under ThreadSanitizer."""
    build("tsan", THREADED)
    rows = [run_unit(BUILD / "tsan" / "bin" / name) for name in THREADED]
    return [(f"{name} (tsan)", *rest) for name, *rest in rows]


def test(options):
    began = time.time()
    build("asan")
    rows = run_scripts(["layers.py"])
    binaries = sorted((BUILD / "asan" / "bin").glob("test_*"))
    # Tests that make namespaces and mounts run beside each other; each has its own names.
    with ThreadPoolExecutor(max_workers=int(jobs())) as pool:
        rows += list(pool.map(run_unit, binaries))
    if not options.quick:
        rows += contract()
        rows += threads()
        build("release")
        rows += run_scripts(sorted(p.name for p in (ROOT / "tests").glob("*_system.py")))
        rows += run_scripts(["story.py"], ["--isolated"])
        rows += real_plane()
    failed = 0
    for name, passed, bad, skipped, seconds, text in rows:
        print(f"   {name:32} {passed:5} passed {bad:3} failed {skipped:3} skipped {seconds:6.1f} s", flush=True)
        failed += bad
        if text:
            print(text[-20000:])
    say(f"tested in {time.time() - began:.0f} s")
    print(f"{sum(r[1] for r in rows)} passed, {failed} failed, {sum(r[3] for r in rows)} skipped")
    return 1 if failed else 0


def sources():
    return sorted(p for folder in ("src", "tests", "examples") for ending in ("*.cc", "*.h") for p in (ROOT / folder).rglob(ending))


def fmt(_):
    call(["clang-format-19", "-i", *sources()])


def lint(_):
    """The layers, the licence lines, and clang-tidy over what changed since main's parent."""
    rows = run_scripts(["layers.py"])
    for row in rows:
        print(row[5], end="")
    bare = [p for p in sources() if "SPDX-License-Identifier" not in p.read_text().split("\n", 1)[0]]
    for path in bare:
        print(f"{path}: no SPDX line")
    return 1 if bare or any(r[2] for r in rows) else 0


def fuzz(options):
    """Builds each *_fuzz.cc with clang's libFuzzer and runs it."""
    setup()
    out = BUILD / "fuzz"
    out.mkdir(parents=True, exist_ok=True)
    wanted = [p for p in (ROOT / "src").rglob("*_fuzz.cc") if not options.target or p.stem == options.target + "_fuzz"]
    for target in sorted(wanted):
        folders = ["base", "text", target.parent.relative_to(ROOT / "src").as_posix()] + list(options.folders)
        parts = [p for f in dict.fromkeys(folders) for p in (ROOT / "src" / f).glob("*.cc")
                 if not re.search(r"_(test|bench|fuzz|main)\.cc$", p.name)]
        binary = out / target.stem
        say(f"build {target.stem}")
        call(["clang++-19", "-std=c++23", "-g", "-O1", "-DFMT_SHARED", "-fsanitize=fuzzer,address,undefined", f"-I{ROOT / 'src'}", target, *parts,
              "-lfmt", "-lssl", "-lcrypto", "-lyaml", "-lre2", "-lz", "-lzstd", "-o", binary])
        corpus = ROOT / "tests" / "corpus" / target.stem
        corpus.mkdir(parents=True, exist_ok=True)
        say(f"run {target.stem} for {options.seconds} s")
        call([binary, f"-max_total_time={options.seconds}", "-timeout=10", "-rss_limit_mb=2048", out, corpus])


def demo(options):
    build("release")
    script = ROOT / "tests" / "story.py"
    return subprocess.run([sys.executable, script, "--plane", options.plane, *(["--keep"] if options.keep else [])]).returncode


def main():
    parser = argparse.ArgumentParser(prog="./dev", description="Slipway's developer commands")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup", help="install what the build and the tests need (root, once)")
    one = commands.add_parser("build", help="build; the release binary is build/release/bin/slipway")
    one.add_argument("preset", nargs="?", default="release", choices=["dev", "asan", "tsan", "release"])
    one = commands.add_parser("test", help="build with sanitizers and run the tests")
    one.add_argument("--quick", action="store_true", help="unit tests alone")
    one.add_argument("--all", action="store_true", help="everything, also what takes hours")
    one = commands.add_parser("demo", help="the whole story on this machine")
    one.add_argument("--plane", default="embedded", choices=["embedded", "real"])
    one.add_argument("--keep", action="store_true", help="leave the system running")
    one = commands.add_parser("bench", help="the benchmarks, beside their peers where they are installed; ./dev bench -- --help")
    one.add_argument("arguments", nargs="*", help="for tests/bench.py, after --")
    commands.add_parser("lint", help="layers, licence lines, clang-tidy")
    one = commands.add_parser("fuzz", help="run the fuzz targets")
    one.add_argument("target", nargs="?", help="yaml, json, …; all without it")
    one.add_argument("--seconds", type=int, default=60)
    one.add_argument("--folders", nargs="*", default=[], help="further folders to link")
    commands.add_parser("fmt", help="format the sources")
    options = parser.parse_args()
    if options.command == "bench":
        build("release")
        return subprocess.run([sys.executable, ROOT / "tests" / "bench.py", *options.arguments]).returncode
    if options.command == "build":
        return build(options.preset) or 0
    handlers = {"setup": setup, "test": test, "demo": demo, "lint": lint, "fuzz": fuzz, "fmt": fmt}
    return handlers[options.command](options) or 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(f"failed: {' '.join(map(str, failed.cmd))[:400]} (exit {failed.returncode})")
