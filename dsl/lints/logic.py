"""What follows from a condition, and whether one can hold at all.

Both answers are one-sided: ``implies`` and ``contradictory`` are true only where that is certain
from the form of the conditions, so a lint that asks them never accuses wrongly.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dsl import expressions as e
from dsl.expressions import Condition, Value
from dsl.model import Source

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class _Bounds(msgspec.Struct):
    """What conditions joined by AND leave for one value. ``one_of`` None: no enumeration is known."""

    one_of: set[Any] | None = None
    none_of: set[Any] = set()
    low: Any = None
    low_open: bool = False
    high: Any = None
    high_open: bool = False

    def narrow(self, operator: str, limit: Any) -> None:
        if operator == "==":
            self.keep({limit})
        elif operator == "!=":
            self.none_of.add(limit)
        elif operator in (">", ">="):
            is_open = operator == ">"
            if self.low is None or limit > self.low or (limit == self.low and is_open):
                self.low, self.low_open = limit, is_open
        elif self.high is None or limit < self.high or (limit == self.high and operator == "<"):
            self.high, self.high_open = limit, operator == "<"

    def keep(self, values: set[Any]) -> None:
        self.one_of = values if self.one_of is None else self.one_of & values

    def admits(self, value: Any) -> bool:
        if value in self.none_of or (self.one_of is not None and value not in self.one_of):
            return False
        if self.low is not None and (value < self.low or (self.low_open and value == self.low)):
            return False
        return self.high is None or not (value > self.high or (self.high_open and value == self.high))

    def empty(self) -> bool:
        if self.one_of is not None:
            return not any(self.admits(value) for value in self.one_of)
        if self.low is None or self.high is None:
            return False
        return bool(self.low > self.high or (self.low == self.high and (self.low_open or self.high_open)))

    def within(self, other: _Bounds) -> bool:
        """Whether every value these bounds admit is one the other's admit."""
        if self.one_of is not None:
            return all(other.admits(value) for value in self.one_of if self.admits(value))
        if other.one_of is not None or any(self.admits(value) for value in other.none_of):
            return False
        low_fits = other.low is None or (
            self.low is not None
            and (self.low > other.low or (self.low == other.low and (self.low_open or not other.low_open)))
        )
        high_fits = other.high is None or (
            self.high is not None
            and (
                self.high < other.high
                or (self.high == other.high and (self.high_open or not other.high_open))
            )
        )
        return low_fits and high_fits


def _limit(condition: Condition) -> tuple[Value, str, Any] | None:
    """``value operator constant`` of a comparison with a constant, whichever side it stands on."""
    if not isinstance(condition, e.Compare):
        return None
    if isinstance(condition.right, e.Constant):
        return condition.left, condition.operator, condition.right.value
    if isinstance(condition.left, e.Constant):
        return condition.right, _FLIPPED[condition.operator], condition.left.value
    return None


def bounds_of(conditions: tuple[Condition, ...]) -> dict[Value, _Bounds]:
    """For each value that conditions joined by AND compare with constants: what they leave of it."""
    found: dict[Value, _Bounds] = {}

    def of(value: Value) -> _Bounds:
        if value not in found:
            found[value] = _Bounds(set(value.type.choices) or None, set())
        return found[value]

    for condition in conditions:
        limit = _limit(condition)
        if limit is not None:
            of(limit[0]).narrow(limit[1], limit[2])
        elif isinstance(condition, e.InSet):
            if condition.negated:
                of(condition.value).none_of.update(condition.items)
            else:
                of(condition.value).keep(set(condition.items))
    return found


def contradictory(condition: Condition, empty_lists: frozenset[str] = frozenset()) -> bool:
    """Whether the condition can certainly never hold. ``empty_lists``: lists that stay empty."""
    match condition:
        case e.Never():
            return True
        case e.Any():
            return all(contradictory(item, empty_lists) for item in condition.items)
        case e.InNamedList():
            return condition.name in empty_lists and not condition.negated
        case e.Present():
            return condition.negated and not condition.value.optional
    terms = e.conjuncts(condition)
    if isinstance(condition, e.All) and any(contradictory(term, empty_lists) for term in terms):
        return True
    bounds = bounds_of(terms)
    absent = {t.value for t in terms if isinstance(t, e.Present) and t.negated}
    return any(b.empty() for b in bounds.values()) or not absent.isdisjoint(bounds)


def implies(first: Condition, second: Condition) -> bool:
    """Whether every event that satisfies ``first`` certainly satisfies ``second``."""
    if first == second or isinstance(second, e.Always) or isinstance(first, e.Never):
        return True
    if isinstance(second, e.All):
        return all(implies(first, item) for item in second.items)
    if isinstance(first, e.Any):
        return all(implies(item, second) for item in first.items)
    if isinstance(second, e.Any) and any(implies(first, item) for item in second.items):
        return True
    terms = e.conjuncts(first)
    if second in terms:
        return True
    if isinstance(second, e.Present) and not second.negated:
        return not second.value.optional or any(
            second.value in e.children(term) and _needs_value(term) for term in terms
        )
    wanted = bounds_of((second,))
    given = bounds_of(terms)
    return bool(wanted) and all(value in given and given[value].within(b) for value, b in wanted.items())


def _needs_value(condition: Condition) -> bool:
    """Whether a missing value makes the condition false (LANGUAGE.md section 4 item 11)."""
    if isinstance(condition, e.Present):
        return not condition.negated
    return not isinstance(condition, e.All | e.Any | e.Agrees)


def fits_all(narrow: Source, wide: Source) -> bool:
    """Whether every event that fits ``narrow`` certainly fits ``wide``."""
    return bool(narrow.members) and all(
        any(
            member.kind == other.kind and implies(member.condition, other.condition) for other in wide.members
        )
        for member in narrow.members
    )
