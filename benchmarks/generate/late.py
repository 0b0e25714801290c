"""A stream some of whose events arrive after later ones."""

from __future__ import annotations

import json

from benchmarks.generate.draw import seeded

MOST_LATE_MS = 600_000
"""Twice the window of W1, far less than what the rules take as late."""


def delayed(lines: list[bytes], share: float, seed: int = 1) -> list[bytes]:
    """The same events, this share of them up to ten minutes later in the order of arrival."""
    random = seeded(seed, "late").random
    arrivals: list[tuple[int, int, bytes]] = []
    for number, line in enumerate(lines):
        time = int(json.loads(line)["time"])
        if random() < share:
            time += 1 + int(random() * MOST_LATE_MS)
        arrivals.append((time, number, line))
    arrivals.sort()
    return [line for _, _, line in arrivals]
