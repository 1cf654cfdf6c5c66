# SPDX-License-Identifier: Apache-2.0
"""What happened when, and how waiting ends: each stage has its seconds, each wait its deadline."""
import contextlib
import sys
import time


class StoryFailed(Exception):
    """A check of the story does not hold; the text says which."""


def check(holds, what):
    if not holds:
        raise StoryFailed(what)


def wait_for(what, probe, seconds, pause=0.05):
    """Calls `probe` until it answers something true, and answers that. `probe` may raise OSError while things restart."""
    deadline = time.monotonic() + seconds
    trouble = ""
    while True:
        try:
            found = probe()
            if found:
                return found
        except OSError as error:
            trouble = f" (last trouble: {error})"
        if time.monotonic() > deadline:
            raise StoryFailed(f"waited {seconds} s for: {what}{trouble}")
        time.sleep(pause)


class Timeline:
    def __init__(self):
        self.began = time.monotonic()
        self.rows = []
        self.chapters_passed = 0
        self.colour = sys.stdout.isatty()

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def chapter(self, text):
        print(f"\n{self.paint('1;36', '== ' + text)}", flush=True)

    def say(self, text):
        for line in str(text).splitlines():
            print(f"   {self.paint('2', f'{time.monotonic() - self.began:7.1f} s')}  {line}", flush=True)

    def holds(self, text):
        self.say(self.paint("32", "ok ") + " " + text)

    @contextlib.contextmanager
    def stage(self, name):
        """One row of the timeline. What the body returns through `note` stands beside the seconds."""
        row = {"name": name, "at": time.monotonic() - self.began, "note": "", "ended": "failed"}
        self.rows.append(row)
        begun = time.monotonic()
        try:
            yield row
            row["ended"] = "ok"
        finally:
            row["seconds"] = time.monotonic() - begun
            self.say(f"{self.paint('1', name)}: {row['seconds']:.2f} s {row['note']}")

    def print(self):
        self.chapter("timeline")
        print(f"   {'at':>8}  {'seconds':>8}  {'':6} stage")
        for row in self.rows:
            print(f"   {row['at']:7.1f}s  {row.get('seconds', 0):7.2f}s  {row['ended']:6} {row['name']}{'; ' + row['note'] if row['note'] else ''}")
        print(f"   {time.monotonic() - self.began:7.1f}s  in all", flush=True)
