"""What every work says of itself."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dsl import RuleSet

Chains = Callable[[int, bool], tuple[list[bytes], list[bytes]]]
"""For the cost of one alert: ``chains(n, alerting)`` gives the events that lead up to it, and then those of n
chains that alert, or that miss by a millisecond.
"""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to measure.

    Attributes:
        name: short, stable: results are compared by it.
        about: one sentence.
        ruleset: what the engine runs.
        lines: the events, in order.
        reference: the code an expert would write for these rules; gives the number of alerts.
        keeping: the same code where it also keeps what late events may change; None where the reference does.
        brute_force: finds that number in an obvious way, however slow; None where the reference is the check.
        counted: the rules whose alerts the reference counts; None: all.
        whole: whether the reference does all that the engine does, so that their times can be compared.
        late: events come out of order: counted are the alerts still open once everything has come.
        budget: the most that DESIGN.md section 7 allows, in times of the decode floor; None: no promise.
        chains: see ``Chains``; None: the cost of an alert is not measured here.
    """

    name: str
    about: str
    ruleset: RuleSet
    lines: list[bytes]
    reference: Callable[[list[bytes]], int]
    keeping: Callable[[list[bytes]], int] | None = None
    brute_force: Callable[[list[bytes]], int] | None = None
    counted: frozenset[str] | None = None
    budget: float | None = None
    chains: Chains | None = None
    whole: bool = True
    late: bool = False


class CannotRun(Exception):
    """The rules of a work have errors, or the engine does not run one of them."""
