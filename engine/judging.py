"""What a TEST expected against what was published: LANGUAGE.md section 5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isclose
from typing import Any

import msgspec

from dsl.bind_patterns import first_sources
from dsl.model import Expectation, Rule, RuleTest
from dsl.units import format_duration
from engine.alerts import Alert, rfc3339
from engine.events import epoch_ms
from engine.why import NearestMiss

ZERO_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: time 0 of every test."""

Nearest = Callable[[frozenset[str]], NearestMiss | None]
"""The nearest miss among the events but those with these ids."""


class Traced(msgspec.Struct):
    """One thing that went in, at a time on the test's time line, and what came of it."""

    time_ms: int
    text: str


class Verdict(msgspec.Struct):
    """``problems``: what was expected and is not so. ``vacuous``: why nothing was shown, if nothing was."""

    problems: list[str]
    vacuous: tuple[str, ...] = ()
    miss: NearestMiss | None = None


def judge(test: RuleTest, alerts: list[Alert], rule: Rule, starts: int, nearest: Nearest) -> Verdict:
    """Expectations are met in the order written, and every alert must have been expected.

    Args:
        alerts: everything that the rule published, in order.
        rule: the rule as it ran.
        starts: how many events fitted its first step.
        nearest: asked where an alert is missing.
    """
    verdict = Verdict([])
    problems = verdict.problems
    waiting = [a for a in alerts if a.activity in ("create", "close")]
    nothing_expected = False
    for expectation in test.expectations:
        if expectation.what == "none":
            nothing_expected = True
            continue
        wanted = "create" if expectation.what == "alert" else "close"
        index = next((i for i, a in enumerate(waiting) if a.activity == wanted), None)
        if index is None:
            problems.append(_missing(expectation, alerts))
            if wanted == "create" and verdict.miss is None:
                _explain(verdict, nearest, alerts, rule)
            continue
        alert = waiting.pop(index)
        found = _differences(alert, expectation.at_ms, expectation.fields, alerts)
        if found:
            problems.extend(f"{said(expectation)}: {difference}" for difference in found)
            problems.append(f"the alert: {in_one_line(alert)}")
    leftover = [a for a in waiting if a.activity == "create"]
    if leftover:
        what = "EXPECT NONE" if nothing_expected else f"{len(leftover)} more alert(s) than expected"
        problems.append(f"{what}: {leftover[0].title!r} was published at {_at(leftover[0])}")
        problems.append(f"the alert: {in_one_line(leftover[0])}")
    if problems and not starts:
        problems.append(f"no event fits the first step, {_first_step(rule)}")
    if not problems and nothing_expected and not starts:
        verdict.miss = nearest(frozenset())
        more = () if verdict.miss is None else (f"nearest miss: {verdict.miss.sentence}",)
        verdict.vacuous = (f"no event fits the first step, {_first_step(rule)}", *more)
    return verdict


def _explain(verdict: Verdict, nearest: Nearest, alerts: list[Alert], rule: Rule) -> None:
    """Say how near the rule came. Events that completed an alert cannot complete a further one."""
    used = frozenset(alert.steps[-1].event_id for alert in alerts if alert.steps)
    verdict.miss = nearest(used)
    if verdict.miss is not None:
        verdict.problems.append(f"nearest miss: {verdict.miss.sentence}")
    elif rule.suppress is not None:
        duration = format_duration(rule.suppress.duration_ms)
        verdict.problems.append(f"a further match was suppressed: SUPPRESS {duration}")


def _missing(expectation: Expectation, alerts: list[Alert]) -> str:
    if expectation.what == "closed":
        created = [a for a in alerts if a.activity == "create"]
        if not created:
            return f"{said(expectation)}: there was no alert to close"
        return f"{said(expectation)}: the alert at {_at(created[0])} is still open"
    return f"{said(expectation)}: there was {'none' if not alerts else 'no further one'}"


def said(expectation: Expectation) -> str:
    """``EXPECT ALERT @3m``."""
    at = "" if expectation.at_ms is None else f" @{format_duration(expectation.at_ms)}"
    return f"EXPECT {expectation.what.upper()}{at}"


def in_one_line(alert: Alert) -> str:
    """What was published, on the test's time line."""
    steps = ", ".join(f"{step.name} {_at(step)}" for step in alert.steps)
    return f"{_at(alert)} {alert.severity} {alert.title!r} ({steps})"


def beside(trace: Sequence[Traced], expectations: Sequence[Expectation]) -> list[str]:
    """The trace with every expectation beside what happened at its time, the others at the end."""
    lines = [(entry.time_ms, f"{format_duration(entry.time_ms):>8}  {entry.text}") for entry in trace]
    for expectation in expectations:
        mark = f"<- {said(expectation)}"
        at = expectation.at_ms
        index = max((i for i, (time, _) in enumerate(lines) if time == at), default=None)
        if index is None:
            when = "" if at is None else format_duration(at)
            lines.append((-1, f"{when:>8}  {mark}"))
        else:
            lines[index] = (lines[index][0], f"{lines[index][1]}   {mark}")
    return [line for _, line in lines]


def relative(time_ms: int | None) -> str:
    """A time of the engine on the test's time line."""
    return format_duration((time_ms or ZERO_MS) - ZERO_MS)


def _at(timed: Any) -> str:
    """The time of an alert or step on the test's time line."""
    return "@" + relative(epoch_ms(timed.time))


def _first_step(rule: Rule) -> str:
    return " or ".join(f"`{source.text}`" for source in first_sources(rule.pattern))


def _differences(alert: Alert, at_ms: int | None, fields: dict[str, Any], alerts: list[Alert]) -> list[str]:
    found: list[str] = []
    if at_ms is not None and alert.time != rfc3339(ZERO_MS + at_ms):
        found.append(f"at {_at(alert)}, not @{format_duration(at_ms)}")
    # What holds in the end counts: a later update of the same alert wins.
    final = [a for a in alerts if a.id == alert.id and a.activity != "close"][-1]
    for name, wanted in fields.items():
        known, value = _lookup(final, name)
        if not known:
            found.append(f"an alert of this rule has no `{name}`")
        elif not _equal(value, wanted):
            found.append(f"`{name}` is {value!r}, not {wanted!r}")
    return found


def _lookup(alert: Alert, name: str) -> tuple[bool, Any]:
    """A field of an alert by name: of the alert, its ``fields``, its key, or ``step.field``."""
    if name in ("severity", "title", "risk", "status", "reason", "device", "revision"):
        return True, getattr(alert, name)
    if name == "confidence":
        return True, alert.confidence.level
    for table in (alert.fields, alert.key, alert.texts):
        if name in table:
            return True, table[name]
    step, _, field = name.partition(".")
    for evidence in alert.steps:
        if evidence.name.replace(" ", "_") == step and field:
            if field == "count" and evidence.count is not None:
                return True, evidence.count
            if field in ("event_id", "time", "kind", "source"):
                return True, getattr(evidence, field)
            return field in evidence.fields, evidence.fields.get(field)
    return False, None


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return isclose(value, wanted, rel_tol=1e-3)
    return bool(value == wanted)
