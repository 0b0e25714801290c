"""Checked expressions to Python source: the code an expert would write for those rules.

Constants reach the code through its globals only, so nothing an author writes is ever part of the
source; the source goes into ``linecache``, so that a traceback or a profile shows it.

A value compiles to an expression together with the tests that must hold before it may be
evaluated (fields that are there); a condition is the conjunction of both. That is how "a
comparison with a missing value is false" costs one ``is not None``.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from types import CodeType
from typing import Any

from dsl import expressions as e
from dsl.expressions import Condition, Value
from engine import runtime_functions as run
from engine.baselines.answers import Answer
from engine.events import attribute
from engine.runtime_functions import ListTest


class Places:
    """Where the generated function finds things.

    Args:
        event: the name of the event under test, or None where there is none.
        steps: for each step name, the Python expression of its Kept event, or None if the step is
            not taken on this chain (its fields are missing).
        keys: for each BY key, the Python expression of its value.
        readings: for the event under test, the name of its ``{baseline: Reading}`` or, in a kind's
            handler, None.
        answers: in a kind's handler, by baseline and function how it is asked (``engine.baselines.answers``).
        latest: for SEVERITY and its kin, the expression giving the events in order, latest last.
    """

    def __init__(
        self,
        event: str | None = None,
        steps: Mapping[str, str | None] | None = None,
        keys: Mapping[str, str] | None = None,
        readings: str | None = None,
        latest: str | None = None,
        elapsed: str | None = None,
        loose: frozenset[str] = frozenset(),
    ) -> None:
        self.event = event
        self.steps = dict(steps or {})
        self.keys = dict(keys or {})
        self.readings = readings
        self.latest = latest
        self.elapsed = elapsed
        self.answers: dict[tuple[str, str], Answer] = {}
        self.known: dict[Condition, str] = {}
        """Conditions that have been asked already: names of local variables that hold what they were."""
        self.loose = loose
        """Steps whose event may be of several types: fields are read with a default."""


class Emitter:
    """Compiles expressions into one namespace; names are made here and never taken from a rule."""

    def __init__(self, lists: Mapping[str, ListTest]) -> None:
        self.names: dict[str, Any] = {
            "_add": run.add,
            "_subtract": run.subtract,
            "_multiply": run.multiply,
            "_divide": run.divide,
            "_remainder": run.remainder,
            "_round": run.rounded,
            "_domain": run.registrable_domain,
            "_reading": reading_of,
            "_latest": latest_reading,
        }
        self._lists = lists
        self._constants: dict[tuple[str, str, Any], str] = {}
        self._temporaries = 0

    # --- names

    def constant(self, key: Any, make: Callable[[], Any], prefix: str = "k") -> str:
        """A global holding a value; equal keys share it."""
        full = (prefix, type(key).__name__, key)
        if full not in self._constants:
            name = f"_{prefix}{len(self._constants)}"
            self._constants[full] = name
            self.names[name] = make()
        return self._constants[full]

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"v{self._temporaries}"

    # --- values

    def value(self, node: Value, places: Places) -> tuple[str, list[str]]:
        """Source of the value, and the tests that must hold first, in order."""
        match node:
            case e.Constant():
                return self._literal(node.value), []
            case e.Missing():
                return "None", ["False"]
            case e.Field():
                return self._field(node, places)
            case e.Key():
                return (
                    self._guarded(places.keys[node.name]) if node.optional else (places.keys[node.name], [])
                )
            case e.Elapsed():
                assert places.elapsed is not None
                return places.elapsed, []
            case e.BaselineValue():
                return self._baseline(node, places)
            case e.Arithmetic():
                return self._arithmetic(node, places)
            case e.Function():
                return self._function(node, places)
            case e.Choose():
                yes, no = self.nullable(node.yes, places), self.nullable(node.no, places)
                source = f"({yes} if {self.condition(node.condition, places)} else {no})"
                return self._guarded(source) if node.optional else (source, [])
            case e.StepAggregate():
                return self._aggregate(node, places)

    def nullable(self, node: Value, places: Places) -> str:
        """Source of the value that gives None where it is missing."""
        source, tests = self.value(node, places)
        return _bare(source, tests) or (
            source if not tests else f"({source} if {' and '.join(tests)} else None)"
        )

    def _guarded(self, source: str) -> tuple[str, list[str]]:
        name = self._temporary()
        return name, [f"({name} := {source}) is not None"]

    def _literal(self, value: str | int | float | bool) -> str:
        if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 62):
            return f"({value})" if not isinstance(value, bool) and value < 0 else repr(value)
        return self.constant(value, lambda: value)

    def _field(self, node: e.Field, places: Places) -> tuple[str, list[str]]:
        name = attribute(node.name)
        if node.step is None:
            assert places.event is not None
            source = f"{places.event}.{name}"
        else:
            place = places.steps[node.step]
            if place is None:
                return "None", ["False"]
            source = f"{place}.event.{name}"
            if node.step in places.loose:
                source = f"getattr({place}.event, {name!r}, None)"
                return self._guarded(source)
        return self._guarded(source) if node.optional else (source, [])

    def _aggregate(self, node: e.StepAggregate, places: Places) -> tuple[str, list[str]]:
        """``xs.count``, ``xs.first.f``, ``xs.last.f``; missing where the step was not taken."""
        place = places.steps[node.step]
        if place is None:
            return "None", ["False"]
        if node.field is None:
            return self._guarded(f"{place}.count")
        return self._guarded(f"getattr({place}.{node.part}.event, {attribute(node.field)!r}, None)")

    def _baseline(self, node: e.BaselineValue, places: Places) -> tuple[str, list[str]]:
        if node.step is not None:
            place = places.steps[node.step]
            if place is None:
                return "None", ["False"]
            source = f"_reading({place}.readings, {self._literal(node.baseline)})"
        elif places.event is None:
            assert places.latest is not None
            source = f"_latest({places.latest}, {self._literal(node.baseline)})"
        elif places.readings is not None:
            source = f"_reading({places.readings}, {self._literal(node.baseline)})"
        else:
            # In a kind's handler the estimator is asked only when the cheaper tests have held.
            answer = places.answers[node.baseline, node.function]
            if answer.known:
                return answer.value, [*answer.tests]
            value, more = self._guarded(answer.value)
            return value, [*answer.tests, *more]
        reading, tests = self._guarded(source)
        if node.function == "ready":
            return f"({' and '.join(tests)} and {reading}.ready)", []
        value, more = self._guarded(f"{reading}.{_READING_ATTRIBUTES[node.function]}")
        return value, tests + more

    def _arithmetic(self, node: e.Arithmetic, places: Places) -> tuple[str, list[str]]:
        left, left_tests = self.value(node.left, places)
        right, right_tests = self.value(node.right, places)
        whole = node.left.type.name in _WHOLE and node.right.type.name in _WHOLE
        tests = left_tests + right_tests
        if whole and node.operator in "+-*":
            # Whole numbers neither overflow nor become NaN.
            return f"({left} {node.operator} {right})", tests
        name = {"+": "_add", "-": "_subtract", "*": "_multiply", "/": "_divide", "%": "_remainder"}[
            node.operator
        ]
        value, more = self._guarded(f"{name}({left}, {right})")
        return value, tests + more

    def _function(self, node: e.Function, places: Places) -> tuple[str, list[str]]:
        parts, tests = [], []
        for argument in node.arguments:
            source, needed = self.value(argument, places)
            parts.append(source)
            tests.extend(needed)
        match node.name:
            case "lower" | "upper":
                return f"{parts[0]}.{node.name}()", tests
            case "len" | "abs" | "min" | "max":
                return f"{node.name}({', '.join(parts)})", tests
            case "round":
                value, more = self._guarded(f"_round({', '.join(parts)})")
                return value, tests + more
            case "domain":
                value, more = self._guarded(f"_domain({parts[0]})")
                return value, tests + more
            case _:
                raise AssertionError(f"no function {node.name}")

    # --- conditions

    def condition(self, node: Condition, places: Places) -> str:
        """Source of the condition: an expression that is true or false and never raises."""
        if places.known and node in places.known:
            return places.known[node]
        match node:
            case e.Always():
                return "True"
            case e.Never():
                return "False"
            case e.All():
                ordered = sorted(node.items, key=cost)
                return "(" + " and ".join(self.condition(i, places) for i in ordered) + ")"
            case e.Any():
                return "(" + " or ".join(self.condition(i, places) for i in node.items) + ")"
            case e.Compare():
                return self._compare(node, places)
            case e.InSet():
                if len(node.items) == 0:
                    return self._test(node.value, places, lambda v: "False" if not node.negated else "True")
                name = self.constant(frozenset(node.items), lambda: frozenset(node.items))
                return self._test(node.value, places, lambda v: f"{v} {_not_in(node.negated)} {name}")
            case e.InNamedList():
                name = self.constant(node.name, lambda: self._lists[node.name].answers, "list")
                return self._test(node.value, places, lambda v: f"{_not(node.negated)}{name}[{v}]")
            case e.InNetwork():
                name = self.constant(node.network, lambda: run.Network(node.network).has, "net")
                return self._test(node.value, places, lambda v: f"{_not(node.negated)}{name}({v})")
            case e.InField():
                field, tests = self.value(node.field, places)
                value, more = self.value(node.value, places)
                return _and([*tests, *more, f"{value} {_not_in(node.negated)} {field}"])
            case e.Like():
                return self._like(node, places)
            case e.Matches():
                name = self.constant(node.pattern, lambda: run.regex(node.pattern), "regex")
                return self._test(node.value, places, lambda v: f"{_not(node.negated)}{name}({v})")
            case e.Present():
                source = self.nullable(node.value, places)
                return f"({source} is {'' if node.negated else 'not '}None)"
            case e.Agrees():
                left, tests = self.value(node.left, places)
                right, more = self.value(node.right, places)
                different = _and([*tests, *more, f"{left} != {right}"])
                return different if node.negated else f"(not {different})"
            case e.InStep():
                place = places.steps[node.step]
                if place is None:
                    return "False"
                name = self._temporary()
                # Where no event of the step has the field, it is missing.
                values = f"({name} := {place}.values({attribute(node.field)!r}))"
                return self._test(
                    node.value, places, lambda v: f"{values} and {v} {_not_in(node.negated)} {name}"
                )

    def _like(self, node: e.Like, places: Places) -> str:
        pattern = node.pattern
        if "?" not in pattern and pattern.count("*") == 1 and "*" in (pattern[0], pattern[-1]):
            # One call of Python's own instead of one of ours.
            method, part = ("endswith", pattern[1:]) if pattern[0] == "*" else ("startswith", pattern[:-1])
            text = self.constant(part, lambda: part)
            return self._test(node.value, places, lambda v: f"{_not(node.negated)}{v}.{method}({text})")
        name = self.constant(pattern, lambda: run.like(pattern), "like")
        return self._test(node.value, places, lambda v: f"{_not(node.negated)}{name}({v})")

    def _test(self, value: Value, places: Places, test: Callable[[str], str]) -> str:
        source, tests = self.value(value, places)
        return _and([*tests, test(source)])

    def _compare(self, node: e.Compare, places: Places) -> str:
        holds = _holds(node, places)
        if holds:
            return holds
        left, left_tests = self.value(node.left, places)
        right, right_tests = self.value(node.right, places)
        if (
            isinstance(node.right, e.Constant)
            and node.right.type.name == e.BOOL
            and node.operator in ("==", "!=")
        ):
            positive = bool(node.right.value) == (node.operator == "==")
            bare = _bare(left, left_tests)
            if bare:
                # What is missing is neither.
                return f"{bare} is {positive}"
            return _and([*left_tests, f"{left} is {positive}"])
        if isinstance(node.right, e.Constant) and node.left.type.name == e.FLOAT:
            # Python compares two floats quicker than a float and an int.
            right = self._as_float(node.right.value, right)
        return _and([*left_tests, *right_tests, f"{left} {node.operator} {right}"])

    def _as_float(self, value: Any, source: str) -> str:
        """The literal of a number as a float, where that is the same number."""
        return repr(float(value)) if type(value) is int and abs(value) <= 1 << 53 else source


def _bare(source: str, tests: list[str]) -> str:
    """Source that is the value or None, where that is all that the tests ask; else empty."""
    if len(tests) == 1 and tests[0].startswith(f"({source} := ") and tests[0].endswith(") is not None"):
        return tests[0].removeprefix(f"({source} := ").removesuffix(") is not None")
    return ""


def _holds(node: e.Compare, places: Places) -> str:
    """Source of a test that a baseline says yes, where that is told without its answer; else empty."""
    asked, said = node.left, node.right
    if (
        isinstance(asked, e.BaselineValue)
        and asked.step is None
        and isinstance(said, e.Constant)
        and said.value is (node.operator == "==")
        and node.operator in ("==", "!=")
        and (asked.baseline, asked.function) in places.answers
    ):
        return places.answers[asked.baseline, asked.function].holds
    return ""


_WHOLE = frozenset({e.INT, e.DURATION, e.TIMESTAMP})
_READING_ATTRIBUTES = {
    "deviation": "score",
    "expected": "expected",
    "drift": "drift",
    "unseen": "unseen",
    "prevalence": "score",
    "regularity": "score",
    "period": "period",
    "fanout": "fanout",
    "unusual": "score",
}


def _not(negated: bool) -> str:
    return "not " if negated else ""


def _not_in(negated: bool) -> str:
    return "not in" if negated else "in"


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "(" + " and ".join(parts) + ")"


_CHEAP = 2


def cost(node: Condition) -> int:
    """How dear a condition is to ask, for putting the cheap ones first. Baselines come last."""
    worst = 0
    for part in e.walk(node):
        match part:
            case e.BaselineValue(function="unseen"):
                # Known once the value was learned, and mostly no.
                worst = max(worst, 3)
            case e.BaselineValue():
                worst = max(worst, 40)
            case e.Matches():
                worst = max(worst, 20)
            case e.Like() | e.InNetwork() | e.InNamedList() | e.Function() | e.Arithmetic():
                worst = max(worst, 10)
            case e.Compare(operator=operator) if operator == "==":
                worst = max(worst, 1)
            case e.Compare() | e.InSet() | e.Present():
                worst = max(worst, 2)
    return worst


def common_parts(conditions: Iterable[Condition]) -> list[Condition]:
    """Parts that several conditions ask, to be asked once. Only those that take no more than comparisons: the
    others wait until the cheaper parts of a condition hold.
    """
    times: dict[Condition, int] = {}
    for condition in dict.fromkeys(conditions):
        for part in condition.items if isinstance(condition, e.All) else ():
            if cost(part) <= _CHEAP:
                times[part] = times.get(part, 0) + 1
    return [part for part, count in times.items() if count > 1]


def reading_of(readings: Mapping[str, Any] | None, baseline: str) -> Any:
    """The reading of a baseline kept with an event, or None."""
    return None if readings is None else readings.get(baseline)


def latest_reading(events: Any, baseline: str) -> Any:
    """The reading at the latest event that has one (LANGUAGE.md section 6)."""
    for kept in reversed(events):
        if kept.readings is not None and baseline in kept.readings:
            return kept.readings[baseline]
    return None


def compile_function(name: str, source: str, names: dict[str, Any]) -> Any:
    """Compile generated source and give the function called ``name``."""
    filename, code = _compiled(name, source)
    # Tracebacks and profiles show the source; whoever clears linecache does not clear what is compiled.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(code, names)  # the source is ours: rules only give constants
    return names[name]


@lru_cache(maxsize=512)
def _compiled(name: str, source: str) -> tuple[str, CodeType]:
    """The code of a text, under a file name that is its own: the same rules are compiled once."""
    digest = blake2b(source.encode(), digest_size=8).hexdigest()
    filename = f"<thenwire {name} {digest}>"
    return filename, compile(source, filename, "exec")
