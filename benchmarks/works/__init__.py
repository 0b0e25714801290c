"""The works that are measured, one file each; ``works_of`` goes through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.generate import flows, mobile
from benchmarks.works import late, mobile_pack, robust, w1, w2, w3
from benchmarks.works.work import Work

EVENTS = {"short": 100_000, "long": 1_000_000}
RULES = (1, 10, 100, 1000)
SHORT_OF_MANY = 20_000
"""Events of the short form with 1,000 rules."""
LATE_PERCENT = (1, 20)
ROBUST_DEVICES = 60
"""Few, so that the baselines of the short form are warm before it ends."""
Make = Callable[[list[bytes]], Work]


def works_of(form: str, seed: int, wanted: str = "") -> Iterator[Work]:
    """The works of the form ``short`` or ``long``, in order, each made when it is asked for.

    Args:
        wanted: only works whose name contains this.
    """
    count = EVENTS[form]
    of_flows: dict[str, Make] = {"w1": w1.make, "w2": w2.make}
    for rules in RULES:
        most = SHORT_OF_MANY if form == "short" and rules == RULES[-1] else count
        of_flows[f"w3-{rules}"] = partial(_of_many, rules, most)
    for percent in LATE_PERCENT:
        of_flows[f"w1-late-{percent}"] = partial(late.make, percent=percent, seed=seed)
    if any(wanted in name for name in of_flows):
        # All of these read the same stream.
        stream = list(flows.lines(count, seed))
        for name, make in of_flows.items():
            if wanted in name:
                yield make(stream)
        del stream
    of_phones: dict[str, Make] = {"mobile": mobile_pack.make, "mobile-1": mobile_pack.make_one}
    if any(wanted in name for name in of_phones):
        phones = list(mobile.lines(count, seed))
        for name, make in of_phones.items():
            if wanted in name:
                yield make(phones)
        del phones
    if wanted in "robust3":
        yield robust.make(list(mobile.lines(count, seed, ROBUST_DEVICES)))


def _of_many(rules: int, most: int, lines: list[bytes]) -> Work:
    return w3.make(lines[:most], rules)
