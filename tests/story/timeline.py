# SPDX-License-Identifier: Apache-2.0
"""What happened, with its seconds: printed as it happens, and once more as a table."""
import time


class Timeline:
    def __init__(self):
        self.begin = time.monotonic()
        self.rows = []

    def say(self, text):
        print(f"{time.monotonic() - self.begin:7.1f} s    {text}", flush=True)

    def stage(self, title):
        return Stage(self, title)

    def table(self):
        width = max(len(title) for title, _, _ in self.rows)
        lines = [f"  {title:<{width}}  {seconds:7.2f} s  {note}".rstrip() for title, seconds, note in self.rows]
        return "\n".join(["", "timeline", *lines])


class Stage:
    def __init__(self, timeline, title):
        self.timeline, self.title, self.note = timeline, title, ""

    def __enter__(self):
        self.begin = time.monotonic()
        self.timeline.say(f"… {self.title}")
        return self

    def __exit__(self, kind, *_):
        seconds = time.monotonic() - self.begin
        if kind is None:
            self.timeline.rows.append((self.title, seconds, self.note))
            self.timeline.say(f"✓ {self.title} ({seconds:.2f} s) {self.note}".rstrip())
        else:
            self.timeline.say(f"✗ {self.title} ({seconds:.2f} s)")
