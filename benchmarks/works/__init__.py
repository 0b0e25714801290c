"""The works that are measured, one file each; ``works_of`` goes through them."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.generate import flows, mobile
from benchmarks.works import mobile_pack, w1, w3
from benchmarks.works.work import Work

EVENTS = {"short": 100_000, "long": 1_000_000}
MANY_RULES_EVENTS = {"short": 50_000, "long": 200_000}
"""For works of 100 rules and more, which would otherwise take most of the time."""
RULES = {"short": (1, 10, 100), "long": (1, 10, 100, 1000)}


def works_of(form: str, seed: int, wanted: str = "") -> Iterator[Work]:
    """The works of the form ``short`` or ``long``, in order, each made when it is asked for.

    Args:
        wanted: only works whose name contains this.
    """
    names = ["w1", *(f"w3-{rules}" for rules in RULES[form])]
    if any(wanted in name for name in names):
        # All of these read the same stream, or the beginning of it.
        stream = list(flows.lines(EVENTS[form], seed))
        if wanted in "w1":
            yield w1.make(stream)
        for rules in RULES[form]:
            if wanted in f"w3-{rules}":
                yield w3.make(stream if rules < 100 else stream[: MANY_RULES_EVENTS[form]], rules)
        del stream
    if wanted in "mobile":
        yield mobile_pack.make(list(mobile.lines(EVENTS[form], seed)))
