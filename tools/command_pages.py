#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A page for each command, made of its --help.

    command_pages.py BINARY FOLDER           writes the pages
    command_pages.py BINARY FOLDER --check   fails where one is not as it would be written
"""
import pathlib
import re
import subprocess
import sys


def help_of(binary, *words):
    done = subprocess.run([binary, *words, "--help"], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)} --help ended with {done.returncode}: {done.stderr}")
    return done.stdout


def commands(overview):
    """The command paths and summaries that the overview lists."""
    for line in overview.splitlines():
        found = re.match(r"  (\S+(?: \S+)*?)  +(\S.*)$", line)
        if found:
            yield found[1], found[2]


def pages(binary):
    overview = help_of(binary)
    listed = list(commands(overview))
    index = ["# Commands", "", "Made from `--help` by `./dev docs`; do not edit.", "", "| command | what it does |", "| --- | --- |"]
    for path, summary in listed:
        name = path.replace(" ", "-") + ".md"
        index.append(f"| [`slipway {path}`]({name}) | {summary} |")
        yield name, f"# slipway {path}\n\n```\n{help_of(binary, *path.split()).rstrip()}\n```\n"
    yield "README.md", "\n".join(index) + "\n"


def main():
    binary, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    wanted = dict(pages(binary))
    there = {path.name: path.read_text() for path in folder.glob("*.md")}
    if "--check" in sys.argv:
        wrong = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
        print(f"not as --help says: {', '.join(wrong)}; ./dev docs writes them" if wrong else f"{len(wanted)} pages are as --help says")
        print(f"{len(wanted) - len(wrong)} passed, {len(wrong)} failed, 0 skipped")
        return 1 if wrong else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in there.keys() - wanted.keys():
        (folder / name).unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text)
    print(f"{len(wanted)} pages in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
