#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A folder under src/ includes only folders on lower lines; folders on one line never include each other.

Also: threads, clocks, processes and sockets are used only in base/, net/ and sandbox/ (and the few named exceptions).
Prints each offending line, then `N passed, N failed, N skipped`."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent / "src"

LAYERS = [
    ["base"], ["text"], ["net", "store"], ["kube"], ["sandbox"], ["wire", "auth"], ["hub", "shim"], ["oci"], ["source"],
    ["secure", "observe"], ["desired"], ["run"],
    ["cd/plain", "cd/helm", "cd/kustomize", "ci/tekton", "ci/actions", "ci/jenkins", "ci/dockerfile"],
    ["cluster/network", "cluster/node", "cluster/api", "cluster/controllers"],
    ["forge"], ["deliver/sync", "deliver/helm", "deliver/rollout"], ["cli", "web"], ["main"],
]
RANK = {folder: rank for rank, line in enumerate(LAYERS) for folder in line}

# What only the folders at the machine's edge may use, and in which files else, each with its reason.
EDGE = re.compile(r"\bstd::(jthread|thread)\b|\b(sleep_for|sleep_until|nanosleep|usleep)\s*\(|\bsystem_clock::now|\bsteady_clock::now"
                  r"|\bstd::random_device|::(fork|execve|execvp|posix_spawn|socket)\s*\(|\bpopen\s*\(")
EDGE_FOLDERS = {"base", "net", "sandbox"}
EDGE_FILES = {
    "cluster/network/dns_server.cc": "a UDP and TCP server of its own, on one thread",
    "cluster/network/dns_server.h": "the same",
}


def folder_of(path):
    parts = path.relative_to(ROOT).parts
    for take in (2, 1):
        name = "/".join(parts[:take])
        if name in RANK:
            return name
    return None


def include_problem(path, folder, included):
    target = folder_of(ROOT / included)
    if target is None or target == folder:
        return None
    if target == "base" or RANK[target] < RANK[folder]:
        return None
    return f"{path}: {folder} must not include {included}"


def check(path):
    folder = folder_of(path)
    if folder is None:
        return [f"{path}: its folder has no layer"]
    problems = []
    is_test = path.name.endswith(("_test.cc", "_fuzz.cc", "_bench.cc")) or "/testing/" in str(path)
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.match(r'#include "([^"]+)"', line)
        if found and (problem := include_problem(f"{path}:{number}", folder, found[1])):
            problems.append(problem)
        code = line.split("//")[0]
        if not is_test and folder not in EDGE_FOLDERS and EDGE.search(code) and path.relative_to(ROOT).as_posix() not in EDGE_FILES:
            problems.append(f"{path}:{number}: only base/, net/ and sandbox/ may use {EDGE.search(code)[0]}")
    return problems


def main():
    files = sorted(p for ending in ("*.cc", "*.h") for p in ROOT.rglob(ending))
    found = {path: check(path) for path in files}
    for problems in found.values():
        for problem in problems:
            print(problem)
    # The check must be able to fail: a made-up upward include is seen.
    assert include_problem("x", "base", "net/http.h") and not include_problem("x", "net", "base/result.h")
    bad = sum(1 for problems in found.values() if problems)
    print(f"{len(found) - bad} passed, {bad} failed, 0 skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
