"""W1 where a share of the events comes up to ten minutes late."""

from __future__ import annotations

import msgspec

from benchmarks.generate.late import delayed
from benchmarks.references import w1_late as reference
from benchmarks.works import w1
from benchmarks.works.work import Work


def make(lines: list[bytes], percent: int, seed: int = 1) -> Work:
    """The work over these events, which are in order, with so many of a hundred delayed."""
    return msgspec.structs.replace(
        w1.make(delayed(lines, percent / 100, seed)),
        name=f"w1-late-{percent}",
        about=f"W1 with {percent} % of the events up to ten minutes late; counted: alerts open in the end",
        reference=reference.count,
        keeping=None,
        # The order in which events come must not matter.
        brute_force=lambda _: w1.brute_force(lines),
        budget=None,
        chains=None,
        late=True,
    )
