"""Expressions by interpretation: the oracle's own reading of LANGUAGE.md sections 3 and 4 item 11.

Written apart from the engine's generated code and sharing nothing with it. A missing value is None.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m

Wire = Mapping[str, Any]
"""An event as it comes: the JSON object."""

ENVELOPE = frozenset({"id", "time", "start", "seen", "source", "kind", "device", "quality", "attribution"})


class NotCovered(Exception):
    """The oracle does not say what this construct means."""


class Scene(msgspec.Struct, frozen=True):
    """What an expression can see: the event under test and the completed steps by name: the event of
    a step, or all events of a step of several, in order.
    """

    ruleset: m.RuleSet
    event: Wire | None
    steps: Mapping[str, Any]


def field_of(ruleset: m.RuleSet, event: Wire, name: str) -> Any:
    """A field of an event; None if its type does not declare it, or it is missing or JSON null."""
    declared = event_type(ruleset, event).fields.get(name)
    if declared is None:
        return event.get(name) if name in ENVELOPE else None
    value = event.get(declared.wire)
    if value is not None and declared.type.name == e.IP:
        return str(ipaddress.ip_address(value))
    return value


def event_type(ruleset: m.RuleSet, event: Wire) -> m.EventType:
    """The declaration of an event's type. An alert has the keys of its rule (item 15); the other fields
    of alerts are not covered.
    """
    kind = event["kind"]
    if not kind.startswith("alert:"):
        return ruleset.events[kind]
    rule = ruleset.rules[kind.removeprefix("alert:")]
    fields = {name: m.FieldType(name, name, e.Type(e.STRING), True) for name in rule.by}
    return m.EventType(rule.name, kind, fields, 0, 0, None, rule.span, rule.file)


def holds(condition: e.Condition, scene: Scene) -> bool:
    """Whether a condition is true. It is never missing: a comparison with a missing value is false."""
    match condition:
        case e.Always():
            return True
        case e.Never():
            return False
        case e.All():
            return all(holds(item, scene) for item in condition.items)
        case e.Any():
            return any(holds(item, scene) for item in condition.items)
        case e.Present():
            return (value_of(condition.value, scene) is None) == condition.negated
        case e.Agrees():
            left, right = value_of(condition.left, scene), value_of(condition.right, scene)
            if left is None or right is None:
                return not condition.negated
            return bool(left == right) != condition.negated
        case e.Compare():
            left, right = value_of(condition.left, scene), value_of(condition.right, scene)
            if left is None or right is None:
                return False
            return _COMPARE[condition.operator](left, right)
        case e.InSet():
            return _is_in(condition, scene, lambda v: v in condition.items)
        case e.InNamedList():
            items = scene.ruleset.lists[condition.name].items
            return _is_in(condition, scene, lambda v: any(_entry_matches(entry, v) for entry in items))
        case e.InNetwork():
            return _is_in(condition, scene, lambda v: _in_network(v, condition.network))
        case e.InField():
            members = value_of(condition.field, scene)
            if members is None:
                return False
            return _is_in(condition, scene, lambda v: v in members)
        case e.InStep():
            # Item 11: with nothing there to compare with, neither IN nor NOT IN is true.
            members = [
                field_of(scene.ruleset, w, condition.field) for w in scene.steps.get(condition.step, ())
            ]
            known = [member for member in members if member is not None]
            return bool(known) and _is_in(condition, scene, lambda v: v in known)
        case e.Like():
            return _is_in(condition, scene, lambda v: _like(v, condition.pattern))
        case e.Matches():
            return _is_in(condition, scene, lambda v: re.search(condition.pattern, v) is not None)
        case _:
            raise NotCovered(type(condition).__name__)


def _is_in(condition: Any, scene: Scene, test: Callable[[Any], bool]) -> bool:
    value = value_of(condition.value, scene)
    return value is not None and test(value) != condition.negated


def value_of(value: e.Value, scene: Scene) -> Any:
    """The value of an expression, None if it is missing."""
    match value:
        case e.Constant():
            return value.value
        case e.Missing():
            return None
        case e.Field():
            event = scene.event if value.step is None else scene.steps.get(value.step)
            return None if event is None else field_of(scene.ruleset, event, value.name)
        case e.StepAggregate():
            several = scene.steps.get(value.step)
            if several is None:
                return None
            if value.part == "count":
                return len(several)
            assert value.field is not None
            return field_of(scene.ruleset, several[0 if value.part == "first" else -1], value.field)
        case e.Arithmetic():
            left, right = value_of(value.left, scene), value_of(value.right, scene)
            if left is None or right is None:
                return None
            return _known(lambda: _ARITHMETIC[value.operator](left, right))
        case e.Choose():
            return value_of(value.yes if holds(value.condition, scene) else value.no, scene)
        case e.Function():
            arguments = [value_of(argument, scene) for argument in value.arguments]
            if any(argument is None for argument in arguments):
                return None
            if value.name not in _FUNCTIONS:
                raise NotCovered(value.name)
            return _known(lambda: _FUNCTIONS[value.name](*arguments))
        case _:
            raise NotCovered(type(value).__name__)


def _known(compute: Callable[[], Any]) -> Any:
    """The result; None for a division by zero, an overflow or NaN."""
    try:
        result = compute()
    except (ZeroDivisionError, OverflowError):
        return None
    return result if result == result else None


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: a % b,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "len": len,
    "abs": abs,
    "min": min,
    "max": max,
    "round": round,
}


def _like(text: str, pattern: str) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _in_network(text: str, network: str) -> bool:
    return ipaddress.ip_address(text) in ipaddress.ip_network(network)


def _entry_matches(entry: str, value: str) -> bool:
    if "/" in entry:
        try:
            return _in_network(value, entry)
        except ValueError:
            return entry == value
    return _like(value, entry)
