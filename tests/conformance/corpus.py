"""The corpus: reading a case, running it, writing down what was said. README.md has the format.

A case is text in three parts: a reason and rules, ``TRACE``, ``EXPECTED``. What is expected is compared
as text, so a difference reads like the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

import dsl
import engine
from dsl import model as m
from dsl.units import duration_ms, format_duration
from engine.alert_events import read_rules
from engine.events import POSITION_SHIFT, epoch_ms

CASES = Path(__file__).parent / "cases"
ZERO_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: time 0 of every trace."""
MOST_SHOWN = 64
"""Events that an alert shows of one step: LANGUAGE.md item 7."""
TRACE = "\nTRACE\n"
EXPECTED = "\nEXPECTED\n"
FIELD = re.compile(r'([a-z_.]+)=("(?:[^"\\]|\\.)*"|\S+)')
EVENT_LINE = re.compile(r"(?P<time>\S+) (?P<kind>[a-z_.]+) (?P<device>\S+)(?P<fields>( [a-z_.]+=.*?)?)")


class Bad(Exception):
    """A case that cannot be read; the message says which line and why."""


class Line(msgspec.Struct, frozen=True):
    """One line of a trace.

    Attributes:
        text: what alerts refer to it by: the id of the event, or the line itself.
        wire: the event; None for CLOCK and END.
        position: its place in the input.
        clock_ms: for CLOCK the time that all clocks pass; for an event that ARRIVES the wall clock then.
    """

    text: str
    wire: dict[str, Any] | None
    position: int
    clock_ms: int | None


class Case(msgspec.Struct, frozen=True):
    """A case as it stands in its file. ``expected`` are lines."""

    reason: str
    rules: str
    trace: str
    lines: tuple[Line, ...]
    expected: tuple[str, ...]

    @property
    def events(self) -> list[tuple[dict[str, Any], int]]:
        """The events with their positions, in order of arrival, each once."""
        found: dict[str, tuple[dict[str, Any], int]] = {}
        for line in self.lines:
            if line.wire is not None:
                found.setdefault(line.wire["id"], (line.wire, line.position))
        return list(found.values())

    @property
    def closed(self) -> bool:
        """Whether the trace ends with the end of input, which closes all clocks."""
        return bool(self.lines) and self.lines[-1].text == "END"


def read(text: str) -> Case:
    """A case from the text of its file.

    Raises:
        Bad: a part is missing, or a line of the trace is none.
    """
    head, found, rest = text.partition(TRACE)
    trace, found_too, expected = rest.partition(EXPECTED)
    if not found or not found_too:
        raise Bad("a case has three parts: reason and rules, TRACE, EXPECTED")
    comment: list[str] = []
    for line in head.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    lines = tuple(_lines(trace.splitlines()))
    return Case(" ".join(comment), head, trace, lines, tuple(x for x in expected.splitlines() if x))


def write(case: Case, expected: Iterable[str]) -> str:
    """The text of a case with another expectation."""
    return case.rules + TRACE + case.trace + EXPECTED + "".join(f"{line}\n" for line in expected)


def _lines(texts: Iterable[str]) -> Iterator[Line]:
    seen: dict[str, str] = {}
    for number, text in enumerate((t for t in texts if t and not t.startswith("#")), start=1):
        if text == "END":
            yield Line(text, None, number, None)
            continue
        if text.startswith("CLOCK "):
            yield Line(text, None, number, ZERO_MS + _duration(text.removeprefix("CLOCK "), text))
            continue
        event, arrives, arrival = text.partition(" ARRIVES ")
        clock = ZERO_MS + _duration(arrival, text) if arrives else None
        wire = _event(event)
        known = seen.setdefault(wire["id"], event)
        if known != event:
            raise Bad(f"`{text}`: another event is called {wire['id']}; give it one of its own: id=...")
        yield Line(wire["id"], wire, number, clock)


def _event(text: str) -> dict[str, Any]:
    parts = EVENT_LINE.fullmatch(text)
    if parts is None:
        raise Bad(f"`{text}` is no line of a trace: time kind device field=value ...")
    wire: dict[str, Any] = {
        "kind": parts["kind"],
        "device": parts["device"],
        "time": ZERO_MS + _duration(parts["time"], text),
        "id": f"{parts['kind']}@{parts['time']}",
    }
    for name, value in FIELD.findall(parts["fields"]):
        wire[name] = ZERO_MS + _duration(value, text) if name == "start" else _value(value)
    return wire


def _duration(text: str, line: str) -> int:
    try:
        return duration_ms(text)
    except ValueError as error:
        raise Bad(f"`{line}`: {error}") from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


# --- running


def load(case: Case) -> m.RuleSet:
    """The rule set of a case, checked; it must have no errors."""
    ruleset = dsl.load_text(case.rules, "case.rule")
    assert not ruleset.errors, [d.message for d in ruleset.errors]
    return ruleset


def run(case: Case) -> list[str]:
    """What the engine says to a case, as the lines of EXPECTED."""
    matcher = engine.Matcher(load(case))
    assert not matcher.diagnostics, [d.message for d in matcher.diagnostics]
    several = len(matcher.rules) > 1
    numbers: dict[str, int] = {}
    found: list[str] = []
    for line in case.lines:
        for alert, released in feed(matcher, line):
            numbers.setdefault(alert.id, len(numbers) + 1)
            cause = released or line.text
            found.append(_said(alert, numbers, cause, several))
    return found + _counted(matcher)


def feed(matcher: engine.Matcher, line: Line) -> list[tuple[engine.Alert, str]]:
    """The alerts of one line of a trace; those of the wall clock with a word for that."""
    found: list[tuple[engine.Alert, str]] = []
    if line.wire is None:
        alerts = matcher.close() if line.clock_ms is None else matcher.close(line.clock_ms)
        return [(alert, "") for alert in alerts]
    if line.clock_ms is not None:
        clock = f"wall clock {format_duration(line.clock_ms - ZERO_MS)}"
        found += [(alert, clock) for alert in matcher.advance(line.clock_ms)]
    event = matcher.decoder.convert(line.wire)
    if event is not None:
        found += [(alert, "") for alert in matcher.feed(event, line.position << POSITION_SHIFT)]
    return found


def _said(alert: engine.Alert, numbers: dict[str, int], cause: str, several: bool) -> str:
    key = " ".join(f"{name}={value}" for name, value in alert.key.items())
    steps = _steps(alert, numbers)
    number, at = numbers[alert.id], format_duration(epoch_ms(alert.time) - ZERO_MS)
    parts = [f"{alert.activity} #{number} @{at} {key}".rstrip()]
    if several:
        parts.append(f"rule {alert.rule.name.replace('_', ' ')}")
    parts += steps
    parts += [f"{name} = {json.dumps(value)}" for name, value in alert.fields.items()]
    if alert.severity != "medium":
        parts.append(f"severity {alert.severity}")
    if alert.dedup.suppressed:
        parts.append(f"suppressed {alert.dedup.suppressed}")
    if alert.timing.tie:
        parts.append("tie")
    if steps[-1].rpartition(" ")[2] != cause:
        parts.append(f"on {cause}")
    return " | ".join(parts)


def _steps(alert: engine.Alert, numbers: dict[str, int]) -> list[str]:
    """``name: id`` for a step of one event, ``name (count): id id ...`` for one of several. An alert that
    another rule reads is called by its number.
    """
    found: list[str] = []
    left = 0
    for step in alert.steps:
        event = step.event_id
        if step.kind.startswith("alert:"):
            event = f"#{numbers.setdefault(event, len(numbers) + 1)}"
        if left:
            found[-1] += f" {event}"
            left -= 1
        elif step.count is None:
            found.append(f"{step.name}: {event}")
        else:
            found.append(f"{step.name} ({step.count}): {event}")
            left = min(step.count, MOST_SHOWN) - 1
    return found


def _counted(matcher: engine.Matcher) -> list[str]:
    """What was counted instead of matched."""
    found = [f"counted late {kind} {n.late}" for kind, n in matcher.counts.items() if n.late]
    for rule in matcher.rule_counts().values():
        names = ("unkeyed", "duplicates", "dropped", "suppressed")
        found += [f"counted {name} {number}" for name in names if (number := getattr(rule, name))]
    return found


# --- what stands in the end

Standing = list[tuple[int, tuple[str, ...], tuple[str, ...]]]
"""For each open alert its time, its key in the order of BY, the ids of its evidence; sorted."""


def standing(expected: Iterable[str]) -> Standing:
    """The alerts that are open at the end of the lines of EXPECTED."""
    stands: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {}
    for line in expected:
        if line.startswith("counted "):
            continue
        head, *parts = line.split(" | ")
        activity, number, at, *key = head.split(" ")
        if activity == "close":
            del stands[number]
            continue
        steps = [part.split(": ")[1].split(" ") for part in parts if ": " in part]
        stands[number] = (
            ZERO_MS + duration_ms(at.removeprefix("@")),
            tuple(pair.partition("=")[2] for pair in key),
            tuple(event for step in steps for event in step),
        )
    return sorted(stands.values())


def waits(pattern: m.Pattern) -> bool:
    """Whether a pattern has an absence that waits for a clock, or one that looks back."""
    for step in pattern.steps:
        node = step.node
        if isinstance(node, m.AbsenceNode):
            return True
        inner: tuple[m.Pattern, ...] = ()
        if isinstance(node, m.GroupNode):
            inner = (node.pattern,)
        elif isinstance(node, m.OneOfNode | m.AllOfNode | m.AnyOfNode):
            inner = node.branches
        if any(map(waits, inner)):
            return True
    return False


def only_in_order_of_arrival(case: Case, ruleset: m.RuleSet) -> str | None:
    """Why the set of events alone does not say what a case expects; None if it does."""
    for rule in ruleset.rules.values():
        if rule.suppress is not None:
            return "SUPPRESS depends on the order of publication (item 13)"
        if read_rules(rule):
            return "rules that read alerts"
        if waits(rule.pattern) and not case.closed:
            return "the trace leaves clocks open, and the oracle has closed them all"
    if any(line.startswith("counted late") for line in case.expected):
        return "an event is too late (item 9), and the oracle knows no arrival"
    return None
