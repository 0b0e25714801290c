"""TEST blocks: rules tested like code, on a virtual time line. LANGUAGE.md section 5.

A test runs its rule alone. Events go in by order of arrival; times count from a fixed zero, so a
test gives the same answer on any day.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isclose
from typing import Any

import msgspec

from dsl.bind_patterns import first_sources
from dsl.model import Rule, RuleSet, RuleTest, TestClock, TestEvent
from dsl.ruleset import rebind
from dsl.units import format_duration
from engine.alert_events import read_rules
from engine.alerts import Alert, rfc3339
from engine.events import POSITION_SHIFT, BadEvent, epoch_ms
from engine.matcher import Matcher

ZERO_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: time 0 of every test."""
DEFAULT_DEVICE = "d1"

PASSED = "passed"
FAILED = "failed"
VACUOUS = "vacuous"


class Result(msgspec.Struct, frozen=True):
    """The outcome of one TEST.

    ``outcome`` is passed, failed or vacuous: nothing was published, as expected, but no run had
    begun either, so the test shows nothing. ``lines`` say why, for people.
    """

    title: str
    rule: str
    file: str
    outcome: str
    lines: tuple[str, ...]


def run_tests(ruleset: RuleSet, tests: Iterable[RuleTest] | None = None) -> list[Result]:
    """Run TEST blocks, all of the rule set's by default, in order."""
    return [run_test(ruleset, test) for test in (ruleset.tests if tests is None else tests)]


def run_test(ruleset: RuleSet, test: RuleTest) -> Result:
    """Run one TEST block."""

    bound = rebind(ruleset, test.params) if test.params else ruleset
    if test.rule not in bound.rules:
        return _result(
            test, FAILED, "with these PARAMs the rule does not load", *(d.message for d in bound.errors[:3])
        )
    alone = msgspec.structs.replace(bound, rules=_with_read(bound, test.rule))
    matcher = Matcher(alone)
    if matcher.diagnostics:
        return _result(test, FAILED, matcher.diagnostics[0].message)
    for name, items in test.lists.items():
        matcher.plan.lists[name].replace(items)
    for fixture in test.fixtures:
        problem = _fix(matcher, fixture.baseline, fixture.key, fixture.state)
        if problem is not None:
            return _result(test, FAILED, problem)
    alerts: list[Alert] = []
    trace: list[str] = []
    for index, item in sorted(enumerate(test.inputs), key=lambda pair: (_arrival(pair[1]), pair[0])):
        if isinstance(item, TestClock):
            found = matcher.close(ZERO_MS + item.time_ms)
            alerts.extend(found)
            trace.append(f"{format_duration(item.time_ms):>8}  CLOCK{_said(found)}")
            continue
        silent = matcher.advance(ZERO_MS + item.arrives_ms)
        if silent:
            alerts.extend(silent)
            trace.append(f"{format_duration(item.arrives_ms):>8}  the wall clock{_said(silent)}")
        wire = {"device": DEFAULT_DEVICE, **item.fields, "kind": item.kind, "time": ZERO_MS + item.time_ms}
        wire.setdefault("id", f"line {index + 1}")
        try:
            event = matcher.decoder.convert(wire)
        except BadEvent as bad:
            return _result(test, FAILED, f"the event at {format_duration(item.time_ms)} is bad: {bad}")
        found = [] if event is None else matcher.feed(event, (index + 1) << POSITION_SHIFT)
        alerts.extend(found)
        trace.append(_trace_line(item, found))
    counts = matcher.rule_counts()[test.rule]
    alerts = [alert for alert in alerts if alert.rule.name == test.rule]
    return _judge(test, alerts, trace, counts.starts, bound)


def _with_read(ruleset: RuleSet, rule: str) -> dict[str, Rule]:
    """The rule and all whose alerts it reads, directly or through others."""
    found: dict[str, Rule] = {}
    waiting = [rule]
    while waiting:
        name = waiting.pop()
        if name not in found and name in ruleset.rules:
            found[name] = ruleset.rules[name]
            waiting.extend(read_rules(found[name]))
    return found


def _result(test: RuleTest, outcome: str, *lines: str) -> Result:
    return Result(test.title, test.rule, test.file, outcome, lines)


def _fix(matcher: Matcher, name: str, key: tuple[Any, ...], state: dict[str, Any]) -> str | None:
    baseline = matcher.baselines.get(name)
    if baseline is None:
        return f"the rule does not read the baseline `{name.replace('_', ' ')}` that GIVEN sets"
    missing = {"center", "spread", "n"} - set(state)
    if missing or set(state) - {"center", "spread", "n"}:
        return f"a robust baseline is given as {{ center spread n }}, not {{ {' '.join(state)} }}"
    baseline.fix(key, float(state["center"]), float(state["spread"]), int(state["n"]))
    return None


def _trace_line(item: TestEvent, found: list[Alert]) -> str:
    when = format_duration(item.time_ms)
    if item.arrives_ms != item.time_ms:
        when += f" (arrives {format_duration(item.arrives_ms)})"
    fields = " ".join(f"{k}: {v!r}" for k, v in item.fields.items())
    return f"{when:>8}  {item.kind.replace('.', ' ')} {{ {fields} }}{_said(found)}"


def _said(found: list[Alert]) -> str:
    return "".join(f"   -> {a.activity} {a.severity}" for a in found)


def _arrival(item: TestEvent | TestClock) -> int:
    return item.time_ms if isinstance(item, TestClock) else item.arrives_ms


def _judge(test: RuleTest, alerts: list[Alert], trace: list[str], starts: int, ruleset: RuleSet) -> Result:
    """Expectations are met in the order written, and every alert must have been expected."""
    problems: list[str] = []
    waiting = [a for a in alerts if a.activity in ("create", "close")]
    nothing_expected = False
    for expectation in test.expectations:
        if expectation.what == "none":
            nothing_expected = True
            continue
        wanted = "create" if expectation.what == "alert" else "close"
        index = next((i for i, a in enumerate(waiting) if a.activity == wanted), None)
        said = f"EXPECT {expectation.what.upper()}"
        if index is None:
            problems.append(f"{said}: there was none" if not alerts else f"{said}: there was no further one")
            continue
        alert = waiting.pop(index)
        problems.extend(
            f"{said}: {p}" for p in _differences(alert, expectation.at_ms, expectation.fields, alerts)
        )
    leftover = [a for a in waiting if a.activity == "create"]
    if nothing_expected and leftover:
        problems.append(f"EXPECT NONE: {leftover[0].title!r} was published at {_relative(leftover[0])}")
    elif leftover:
        problems.append(f"{len(leftover)} more alert(s) than expected, the first at {_relative(leftover[0])}")
    if problems:
        hint = [] if starts else [f"no event fits the first step, {_first_step(ruleset, test.rule)}"]
        return _result(test, FAILED, *problems, *hint, "what went in, and what came of it:", *trace)
    if nothing_expected and starts == 0:
        return _result(test, VACUOUS, f"no event fits the first step, {_first_step(ruleset, test.rule)}")
    return _result(test, PASSED)


def _first_step(ruleset: RuleSet, rule: str) -> str:
    names = [f"`{source.text}`" for source in first_sources(ruleset.rules[rule].pattern)]
    return " or ".join(names)


def _relative(alert: Alert) -> str:
    """The completing time of an alert on the test's time line."""
    return "@" + format_duration(epoch_ms(alert.time) - ZERO_MS)


def _differences(alert: Alert, at_ms: int | None, fields: dict[str, Any], alerts: list[Alert]) -> list[str]:
    found: list[str] = []
    if at_ms is not None and alert.time != rfc3339(ZERO_MS + at_ms):
        found.append(f"at {_relative(alert)}, not @{format_duration(at_ms)}")
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
