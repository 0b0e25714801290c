"""The works that are measured, one file each; ``works_of`` lists them."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.generate import flows, mobile
from benchmarks.works import mobile_pack, w1, w3
from benchmarks.works.work import Work

EVENTS = {"short": 100_000, "long": 1_000_000}
MANY_RULES_EVENTS = {"short": 50_000, "long": 200_000}
"""For works of 100 rules and more, which would otherwise take most of the time."""


def works_of(form: str, seed: int, wanted: str | None = None) -> list[Callable[[], Work]]:
    """Makers of the works of the form ``short`` or ``long``, in order.

    Args:
        wanted: only works whose name contains this.

    A work holds its events, so make, measure and drop one at a time.
    """
    events = EVENTS[form]
    counts = {1: events, 10: events, 100: MANY_RULES_EVENTS[form]}
    if form == "long":
        counts[1000] = MANY_RULES_EVENTS[form]
    makers: list[tuple[str, Callable[[], Work]]] = [("w1", lambda: w1.make(list(flows.lines(events, seed))))]
    for rules, size in counts.items():
        makers.append(
            (f"w3-{rules}", lambda rules=rules, size=size: w3.make(list(flows.lines(size, seed)), rules))  # type: ignore[misc]  # bound now
        )
    makers.append(("mobile", lambda: mobile_pack.make(list(mobile.lines(events, seed)))))
    return [make for name, make in makers if wanted is None or wanted in name]
