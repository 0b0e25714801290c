"""The nearest miss: the run that got furthest, where it ended, by what and by how much.

The pattern is cut behind each of its steps in turn. The longest part that still matches is how far
the furthest run got; the step behind it is where it ended. Then that step loses one thing after the other.
What makes it match is what was in the way; the match that comes of it says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.units import format_duration
from engine.alerts import Alert
from engine.explain import words
from engine.why import loosen, trees
from engine.why.probe import Probe, Variation

MAX_REMOVED = 100
"""Events that are tried for the one that voided a run."""

What = Literal["filter", "bound", "guard", "key", "count", "absent", "clock", "late", "suppressed", "other"]


class Passed(msgspec.Struct, frozen=True):
    """A step that the furthest run completed, and the time of its event in epoch milliseconds."""

    step: str
    time_ms: int


class NearestMiss(msgspec.Struct, frozen=True, kw_only=True):
    """Why a rule did not alert.

    Attributes:
        sentence: all of it, for people.
        what: what was in the way: a filter, a bound, a guard, a key that differs, too few events, no event
            at all, a clock that has not passed a deadline, lateness, SUPPRESS.
        step: number of the step where the furthest run ended, from 1; 0 where every step was completed.
        steps: how many there are.
        name: what that step looks for.
        passed: the steps before it.
        kind, time_ms: of the event that came nearest, or that voided the run; None where there is none.
        condition: the term that was false, in words.
        values: what its fields were.
        missed_by_ms: by how much a bound was missed.
    """

    sentence: str
    what: What
    step: int
    steps: int
    name: str
    passed: tuple[Passed, ...] = ()
    kind: str | None = None
    time_ms: int | None = None
    condition: str | None = None
    values: dict[str, Any] = {}
    missed_by_ms: int | None = None


class Miss(msgspec.Struct):
    """A miss while it is worked out. ``far``: the smaller, the nearer."""

    what: What
    sentence: str
    far: float
    kind: str | None = None
    time_ms: int | None = None
    condition: str | None = None
    values: dict[str, Any] = {}
    missed_by_ms: int | None = None


class Timed(msgspec.Struct, frozen=True):
    """A match with the times of its leaves and the values asked for."""

    begins: tuple[int | None, ...]
    times: tuple[int | None, ...]
    kinds: tuple[str | None, ...]
    devices: tuple[str | None, ...]
    ids: tuple[str | None, ...]
    values: dict[str, Any]
    alert: Alert

    @property
    def elapsed_ms(self) -> int:
        ends = [t for t in self.times if t is not None]
        return max(ends) - min(t for t in self.begins if t is not None) if ends else 0


class Asking:
    """A probe with patterns whose leaves have names, so that the times of a match can be read."""

    def __init__(self, probe: Probe, when: Callable[[int], str]) -> None:
        self.probe = probe
        self.when = when

    def named(self, pattern: m.Pattern) -> m.Pattern:
        """The pattern with a name at each leaf that has events."""
        for number, (path, step) in enumerate(trees.leaves(pattern)):
            if step.name is None and not isinstance(step.node, m.AbsenceNode):

                def name(step: m.Step, number: int = number) -> m.Step:
                    return msgspec.structs.replace(step, name=f"_leaf_{number}")

                pattern = trees.changed(pattern, path, name)
        return pattern

    def ask(
        self, pattern: m.Pattern, values: dict[str, e.Value] | None = None, **changes: Any
    ) -> list[Timed]:
        """The matches of a pattern, with the values of some expressions."""
        leaves = list(trees.leaves(pattern))
        fields: list[tuple[str, e.Value]] = []
        for number, (_, step) in enumerate(leaves):
            if step.name is None:
                continue
            several = isinstance(step.node, m.LevelNode | m.AllOfNode | m.AnyOfNode)
            for name, field, type_ in _READ:
                fields.append((f"{name} {number}", _read(step.name, name, field, type_, several)))
        fields.extend((values or {}).items())
        alerts = self.probe.ask(Variation(pattern=pattern, fields=tuple(fields), **changes))
        return sorted(
            (self._timed(alert, len(leaves), values or {}) for alert in alerts),
            key=lambda timed: (timed.elapsed_ms, timed.times[0] or 0),
        )

    def _timed(self, alert: Alert, count: int, values: dict[str, e.Value]) -> Timed:
        read = alert.fields
        times = tuple(_whole(read.get(f"time {i}")) for i in range(count))
        begins = tuple(_whole(read.get(f"start {i}")) or _whole(read.get(f"first {i}")) for i in range(count))
        ids = tuple(None if (found := read.get(f"id {i}")) is None else str(found) for i in range(count))
        wires = [self._wire(time, id_) for time, id_ in zip(times, ids, strict=True)]
        return Timed(
            begins,
            times,
            tuple(None if wire is None else str(wire["kind"]) for wire in wires),
            tuple(None if wire is None else str(wire.get("device", "")) for wire in wires),
            ids,
            {name: read.get(name) for name in values},
            alert,
        )

    def _wire(self, time: int | None, id_: str | None) -> dict[str, Any] | None:
        found = [i.wire for i in self.probe.inputs if i.wire is not None and i.time_ms == time]
        return next((wire for wire in found if id_ is None or wire.get("id") == id_), None)

    def event(self, timed: Timed, leaf: int = -1) -> str:
        """``app exit at 12m``."""
        time, kind = timed.times[leaf], timed.kinds[leaf]
        shown = "an alert" if kind is None else words.kind(kind)
        return shown if time is None else f"{shown} at {self.when(time)}"

    def voider(self, source: m.Source, pattern: m.Pattern, **changes: Any) -> tuple[str, int] | None:
        """The event without which there is a match: its kind and time."""
        kinds = {member.kind for member in source.members}
        tried = [i for i in self.probe.inputs if i.wire is not None and i.wire.get("kind") in kinds]
        for item in tried[:MAX_REMOVED]:
            if self.probe.ask(Variation(pattern=pattern, without=frozenset({item.position}), **changes)):
                assert item.wire is not None
                return str(item.wire["kind"]), item.time_ms
        return None


_READ = (
    ("time", "time", e.TIMESTAMP),
    ("first", "time", e.TIMESTAMP),
    ("start", "start", e.TIMESTAMP),
    ("id", "id", e.STRING),
)
"""What is read of each leaf of a match; of a step of several events the last, or the first."""


def _read(step: str, name: str, field: str, type_: str, several: bool) -> e.Value:
    if several:
        part = "first" if name in ("first", "start") else "last"
        return e.StepAggregate(step, part, field, e.Type(type_), True)
    return e.Field(step, field, e.Type(type_), True)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


# --- terms of a filter


def term_values(condition: e.Condition, step: str) -> dict[str, e.Value]:
    """What a term reads, by its name in words, as values at a step that has a name."""
    found: dict[str, e.Value] = {}
    for node in e.walk(condition):
        if isinstance(node, e.Field | e.StepAggregate | e.BaselineValue):
            found[words.value(node)] = at_step(node, step)
    return found


def distance(condition: e.Condition, values: dict[str, Any]) -> float:
    """How far a number was from the constant that it is compared with; the same for all other terms, so
    that of several events the first is named.
    """
    if not isinstance(condition, e.Compare):
        return 0.0
    number, limit = condition.left, condition.right
    if isinstance(number, e.Constant):
        number, limit = limit, number
    if not isinstance(limit, e.Constant) or not isinstance(limit.value, int | float):
        return 0.0
    value = values.get(words.value(number))
    return abs(value - limit.value) if isinstance(value, int | float) else math.inf


def at_step(node: Any, step: str) -> Any:
    """An expression about the event under test as one about the event of a step."""

    def change(part: Any) -> Any:
        if isinstance(part, e.Field | e.BaselineValue) and part.step is None:
            return msgspec.structs.replace(part, step=step)
        return None

    return trees.rewritten(node, change)


def truth(condition: e.Condition, step: str) -> e.Value:
    """1 where a term holds at the event of a step, else 0."""
    whole = e.Type(e.INT)
    return e.Choose(at_step(condition, step), e.Constant(1, whole), e.Constant(0, whole), whole, False)


def said_values(values: dict[str, Any], types: dict[str, e.Value]) -> str:
    """``class was "watchdog" and app was missing``."""
    parts = [
        f"{name} was {'missing' if value is None else words.plain(value, types[name].type)}"
        for name, value in values.items()
    ]
    return words.listed(parts, "and")


def bound_miss(asking: Asking, found: Sequence[Timed], cut: loosen.Loosened, first: int) -> Miss | None:
    """By how much a bound was missed: the match that missed it by least. ``first``: the leaf that the
    bound is measured from.
    """
    best: Miss | None = None
    for timed in found:
        end, begin = timed.times[-1], timed.begins[-1]
        before = [t for t in timed.begins[first:-1] if t is not None]
        ends = [t for t in timed.times[first:-1] if t is not None]
        if end is None or begin is None or not before:
            # A step of several events alone: from its first event to its last.
            before = [begin] if begin is not None else []
            if end is None or not before or cut.least:
                continue
        if cut.least:
            by = cut.bound_ms - (begin - ends[-1]) if begin is not None else 0
            least = format_duration(cut.bound_ms)
            text = f"{format_duration(max(by, 0))} before the least gap of {least} was over"
        else:
            since = before[-1] if cut.whole is None else min(before)
            by = end - since - cut.bound_ms
            text = f"{format_duration(max(by, 0))} after the bound of {format_duration(cut.bound_ms)}"
        if by <= 0:
            continue
        far = by / max(1, cut.bound_ms)
        miss = Miss(
            "bound",
            f"{asking.event(timed)} came {text}",
            1 + far if far <= 1 else 5 + far,
            timed.kinds[-1],
            end,
            missed_by_ms=by,
        )
        if best is None or miss.far < best.far:
            best = miss
    return best


# --- steps in words


def passed_steps(pattern: m.Pattern, timed: Timed) -> tuple[Passed, ...]:
    """The steps that a match completed, with the times of their last events."""
    steps = [step for _, step in trees.leaves(pattern)]
    return tuple(
        Passed(step_text(step), time)
        for step, time in zip(steps, timed.times, strict=False)
        if time is not None
    )


def step_text(step: m.Step) -> str:
    """What a step looks for, as written."""
    match step.node:
        case m.AbsenceNode():
            return f"NO {step.node.source.text}"
        case m.LevelNode():
            return f"AT LEAST {step.node.amount:,} {step.node.source.text}"
        case m.AllOfNode():
            return "ALL OF"
        case m.AnyOfNode():
            return f"ANY {step.node.needed} OF"
        case m.EventNode():
            return step.node.source.text
        case _:
            return "(...)"
