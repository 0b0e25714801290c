"""What a matcher is told: events and clocks, in the order in which it is told them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, TypeAlias

import msgspec
from running import evidence, standing

import engine
from dsl import model as m


class Passed(msgspec.Struct, frozen=True):
    """All clocks pass a time: ``CLOCK`` of a TEST."""

    until: int


class Wall(msgspec.Struct, frozen=True):
    """The wall clock shows a time: types that are silent follow it."""

    now: int


Placed: TypeAlias = tuple[dict[str, Any], int]
Input: TypeAlias = Placed | Passed | Wall

Stands: TypeAlias = tuple[str, tuple[str, ...], tuple[str, ...], tuple[int | None, ...], str]
"""An alert that stands: rule, key, evidence, how many events each step had, and its time."""

LONG_MS = 300_000
"""The default GRACE: a wall clock that jumps this far moves every clock."""


def tell(matcher: engine.Matcher, item: Input) -> list[engine.Alert]:
    """The alerts that one input causes."""
    if isinstance(item, Passed):
        return matcher.close(item.until)
    if isinstance(item, Wall):
        return matcher.advance(item.now)
    event = matcher.decoder.convert(item[0])
    return [] if event is None else matcher.feed(event, item[1])


def told(ruleset: m.RuleSet, items: Iterable[Input], end: bool = True) -> list[list[engine.Alert]]:
    """The alerts that each input causes and, with ``end``, in a last group those that the end of input
    releases. Asserts that the engine runs every rule and dropped nothing.
    """
    matcher = engine.Matcher(ruleset)
    assert not matcher.diagnostics, [d.message for d in matcher.diagnostics]
    out = [tell(matcher, item) for item in items]
    if end:
        out.append(matcher.close())
    assert not any(count.dropped for count in matcher.rule_counts().values())
    return out


def events_of(items: Iterable[Input]) -> list[Placed]:
    return [item for item in items if not isinstance(item, Passed | Wall)]


def in_order(items: Iterable[Input]) -> list[Input]:
    """The same set of events in order, and then clocks that have passed as much."""
    items = list(items)
    events: list[Input] = [*sorted(events_of(items), key=lambda pair: (pair[0]["time"], pair[1]))]
    passed = [item.until for item in items if isinstance(item, Passed)]
    return [*events, Passed(max(passed))] if passed else events


def in_order_by_kind(items: Sequence[Input]) -> list[Input]:
    """The events of each kind in order, at the places where events of that kind come in; all else as
    it was. So every clock ends where it would have ended, also one that follows the wall clock.
    """
    by_kind: dict[str, list[Placed]] = {}
    for pair in sorted(events_of(items), key=lambda pair: (-pair[0]["time"], -pair[1])):
        by_kind.setdefault(pair[0]["kind"], []).append(pair)
    return [item if isinstance(item, Passed | Wall) else by_kind[item[0]["kind"]].pop() for item in items]


def with_clocks(random: Random, arrival: Iterable[Placed], wall: bool = True) -> list[Input]:
    """Events with clocks moved on between them, to times near those of the events."""
    items: list[Input] = []
    now = 95
    for pair in arrival:
        items.append(pair)
        if not random.randrange(4):
            items.append(Passed(pair[0]["time"] + random.randint(-6, 6)))
        if wall and not random.randrange(3):
            now += random.choice([0, 1, 2, 5, 9, LONG_MS // 2])
            items.append(Wall(now))
    return items


def what_stands(alerts: Sequence[engine.Alert]) -> list[Stands]:
    """Folded by id, as :func:`running.standing` does, whose assertions hold here too; an alert in the
    evidence of another goes by the events of its own, for its id depends on how it was born.
    """
    standing(alerts)
    latest = {alert.id: alert for alert in alerts}

    def named(alert: engine.Alert) -> tuple[str, ...]:
        return tuple("+".join(named(latest[id_])) if id_ in latest else id_ for id_ in evidence(alert))

    return sorted(
        (
            (
                alert.rule.name,
                tuple(str(value) for value in alert.key.values()),
                named(alert),
                tuple(step.count for step in alert.steps),
                alert.time,
            )
            for alert in latest.values()
            if alert.status == "open"
        ),
        key=repr,
    )


def bare(stands: Iterable[Stands], rule: str = "r") -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Key and evidence alone, as the oracle gives them."""
    return sorted((key, ids) for name, key, ids, _, _ in stands if name == rule)
