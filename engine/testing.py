"""TEST blocks: rules tested like code, on a virtual time line. LANGUAGE.md section 5.

A test runs its rule alone. Events go in by order of arrival; times count from a fixed zero, so a
test gives the same answer on any day.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from dsl.model import RuleSet, RuleTest, TestClock, TestEvent
from dsl.ruleset import rebind
from engine.alerts import Alert
from engine.baselines.estimator import Fixed
from engine.events import POSITION_SHIFT, BadEvent
from engine.judging import ZERO_MS, Traced, beside, judge, relative
from engine.matcher import Matcher
from engine.why import Input, NearestMiss, nearest_miss, rules_with_read

DEFAULT_DEVICE = "d1"

PASSED = "passed"
FAILED = "failed"
VACUOUS = "vacuous"


class Result(msgspec.Struct, frozen=True):
    """The outcome of one TEST.

    ``outcome`` is passed, failed or vacuous: nothing was published, as expected, but no run had
    begun either, so the test shows nothing. ``lines`` say why, for people. ``miss`` is how near the
    rule came where an alert was expected, or where a run should have begun.
    """

    title: str
    rule: str
    file: str
    outcome: str
    lines: tuple[str, ...]
    miss: NearestMiss | None = None


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
    alone = msgspec.structs.replace(bound, rules=rules_with_read(bound, test.rule))
    matcher = Matcher(alone)
    if matcher.diagnostics:
        return _result(test, FAILED, matcher.diagnostics[0].message)
    problem = _prepare(matcher, test)
    if problem is not None:
        return _result(test, FAILED, problem)
    alerts: list[Alert] = []
    trace: list[Traced] = []
    inputs = _inputs(test)
    for item in inputs:
        when = item.arrives_ms or ZERO_MS
        if item.wire is None:
            found = matcher.close(item.time_ms)
            trace.append(Traced(item.time_ms - ZERO_MS, f"CLOCK{_said(found)}"))
            alerts.extend(found)
            continue
        silent = matcher.advance(when)
        if silent:
            alerts.extend(silent)
            trace.append(Traced(when - ZERO_MS, f"the wall clock{_said(silent)}"))
        try:
            event = matcher.decoder.convert(item.wire)
        except BadEvent as bad:
            return _result(test, FAILED, f"the event at {relative(item.time_ms)} is bad: {bad}")
        found = [] if event is None else matcher.feed(event, item.position)
        alerts.extend(found)
        trace.append(_traced(item, found))
    starts = matcher.rule_counts()[test.rule].starts
    alerts = [alert for alert in alerts if alert.rule.name == test.rule]

    def nearest(without: frozenset[str]) -> NearestMiss | None:
        """The miss among the events that completed no alert yet."""
        left = [i for i in inputs if i.wire is None or i.wire["id"] not in without]
        return nearest_miss(bound, test.rule, left, lambda m: (_prepare(m, test), None)[1], relative)

    verdict = judge(test, alerts, bound.rules[test.rule], starts, nearest)
    if verdict.problems:
        shown = beside(trace, test.expectations)
        lines = (*verdict.problems, "what went in, what came of it, and what was expected:", *shown)
        return Result(test.title, test.rule, test.file, FAILED, lines, verdict.miss)
    if verdict.vacuous:
        return Result(test.title, test.rule, test.file, VACUOUS, verdict.vacuous, verdict.miss)
    return _result(test, PASSED)


def _inputs(test: RuleTest) -> list[Input]:
    """What goes in, by order of arrival. Events without an id are called by their place in the TEST."""
    found: list[Input] = []
    for index, item in sorted(enumerate(test.inputs), key=lambda pair: (_arrival(pair[1]), pair[0])):
        position = (index + 1) << POSITION_SHIFT
        if isinstance(item, TestClock):
            found.append(Input(None, position, ZERO_MS + item.time_ms))
            continue
        wire = {"device": DEFAULT_DEVICE, **item.fields, "kind": item.kind, "time": ZERO_MS + item.time_ms}
        wire.setdefault("id", f"line {index + 1}")
        found.append(Input(wire, position, ZERO_MS + item.time_ms, ZERO_MS + item.arrives_ms))
    return found


def _prepare(matcher: Matcher, test: RuleTest) -> str | None:
    """Set what the test gives; what is wrong with it, if something is. All that can be set is set."""
    for name, items in test.lists.items():
        matcher.plan.lists[name].replace(items)
    problems = [_fix(matcher, fix.baseline, fix.key, fix.state) for fix in test.fixtures]
    return next((problem for problem in problems if problem is not None), None)


def _result(test: RuleTest, outcome: str, *lines: str) -> Result:
    return Result(test.title, test.rule, test.file, outcome, lines)


def _fix(matcher: Matcher, name: str, key: tuple[Any, ...], state: dict[str, Any]) -> str | None:
    if name not in matcher.baselines.estimators:
        return f"the rule does not read the baseline `{name.replace('_', ' ')}` that GIVEN sets"
    try:
        matcher.baselines.fix(name, key, state, ZERO_MS)
    except Fixed as wrong:
        return str(wrong)
    return None


def _traced(item: Input, found: list[Alert]) -> Traced:
    wire = item.wire or {}
    late = f" (arrives {relative(item.arrives_ms)})" if item.arrives_ms not in (None, item.time_ms) else ""
    shown = {k: v for k, v in wire.items() if k not in ("kind", "time")}
    if shown["device"] == DEFAULT_DEVICE:
        del shown["device"]
    if str(shown["id"]).startswith("line "):
        del shown["id"]
    fields = " ".join(f"{name}: {value!r}" for name, value in shown.items())
    kind = str(wire["kind"]).replace(".", " ")
    return Traced(item.time_ms - ZERO_MS, f"{kind} {{ {fields} }}{late}{_said(found)}")


def _said(found: list[Alert]) -> str:
    return "".join(f"   -> {a.activity} {a.severity}" for a in found)


def _arrival(item: TestEvent | TestClock) -> int:
    return item.time_ms if isinstance(item, TestClock) else item.arrives_ms
