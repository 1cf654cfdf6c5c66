# SPDX-License-Identifier: Apache-2.0
"""What a benchmark answers, and how it is printed and written."""
import dataclasses
import json
import math
import os
import statistics


@dataclasses.dataclass
class Row:
    """One figure. `target` is in `unit` too; `more` says that a larger figure is the better one. `peer` is the peer's figure
    in the same unit, `peer_name` says whose it is and whether it was taken in this run or stands in the list of targets."""
    name: str
    value: float
    unit: str
    target: float | None = None
    more: bool = False
    peer: float | None = None
    peer_name: str = ""
    note: str = ""
    load: float = dataclasses.field(default_factory=lambda: round(os.getloadavg()[0], 2))

    @property
    def verdict(self):
        if self.target is None:
            return "-"
        return "met" if (self.value >= self.target if self.more else self.value <= self.target) else "missed"


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def p50(values):
    return statistics.median(values)


def figure(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def line(row):
    peer = f"{figure(row.peer)} ({row.peer_name})" if row.peer is not None else "-"
    sign = "≥" if row.more else "≤"
    target = f"{sign} {figure(row.target)}" if row.target is not None else "-"
    return [row.name, f"{figure(row.value)} {row.unit}", target, row.verdict, peer, row.note]


def table(rows):
    cells = [["what", "measured", "target", "", "peer", "note"], *map(line, rows)]
    widths = [max(len(one[i]) for one in cells) for i in range(len(cells[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(one, widths)).rstrip() for one in cells)


def write(path, rows, failures):
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"cpus": os.cpu_count(), "rows": [{**dataclasses.asdict(row), "verdict": row.verdict} for row in rows], "failures": failures}
    path.write_text(json.dumps(found, indent=1) + "\n")
