"""PARAM: a named constant, perhaps set by the deployment."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dsl import expressions as e
from dsl import nodes as n
from dsl.diagnostics import Diagnostic, did_you_mean
from dsl.expressions import Type
from dsl.model import Param
from dsl.nodes import Span
from dsl.scope import Report, Tables
from dsl.types import describe
from dsl.units import MAX_NUMBER, duration_ms, number, size_bytes, string

Overrides = Mapping[str, str | int | float | bool]
PARAMS_FILE = "<params>"
"""The file that diagnostics about overrides name; its text lists the values given."""
_RESERVED = frozenset(e.SEVERITIES) | {"elapsed"}


def literal_type(literal: n.Scalar) -> Type:
    """The type a PARAM with this value has."""
    kinds = {
        "size": Type(e.INT, "bytes"),
        "duration": Type(e.DURATION),
        "string": Type(e.STRING),
        "bool": Type(e.BOOL),
    }
    return kinds.get(literal.kind) or Type(e.FLOAT if isinstance(literal.value, float) else e.INT)


def bind_param(node: n.ParamNode, overrides: Overrides, report: Report) -> Param | None:
    """A PARAM with the deployment's value, if it has one of the same type."""
    name = node.name.text
    if name in _RESERVED:
        report.error(
            "TW214",
            f"`{name}` has a meaning of its own in SEVERITY and ALERT",
            node.name.span,
            "reserved",
            "choose another name",
        )
        return None
    if not isinstance(node.value, n.Scalar):
        report.error(
            "TW304",
            "a PARAM is one literal",
            node.value.span,
            "not a literal",
            "lists are declared with LIST",
        )
        return None
    type_ = literal_type(node.value)
    if name not in overrides:
        return Param(name, node.value.value, type_, node.text, False)
    value = overrides[name]
    in_range = _in_range(value)
    if in_range and type_.name == e.FLOAT and type(value) is int:
        value = float(value)
    fits = {e.FLOAT: float, e.INT: int, e.DURATION: int, e.STRING: str, e.BOOL: bool}[type_.name]
    if type(value) is not fits or not in_range:
        report.error(
            "TW304",
            f"`{name}` was set to {str(value)[:40]!r}" if in_range else f"`{name}` was set out of range",
            node.name.span,
            f"it is {describe(type_)}",
            "a value of its type: such as 10m, 20KB, 4.5, TRUE or text",
        )
        return None
    return Param(name, value, type_, node.text, True)


def _in_range(value: str | int | float | bool) -> bool:
    """Whether the value could be a literal; not so for infinity, NaN and integers beyond 64 bits."""
    if isinstance(value, int):
        return abs(value) <= MAX_NUMBER
    return isinstance(value, str) or math.isfinite(value)


def unknown_overrides(overrides: Overrides, tables: Tables) -> tuple[str, dict[str, Diagnostic]]:
    """Errors for values that no PARAM takes, by the name given, and the text their spans point into."""
    known = set(tables.params)
    for rule, (node, _) in tables.rules.items():
        for param in node.params:
            known |= {param.name.text, f"{rule}.{param.name.text}"}
    lines = ""
    found: dict[str, Diagnostic] = {}
    for name in sorted(overrides):
        begin = len(lines)
        lines += f"{name} = {overrides[name]!r}\n" if _in_range(overrides[name]) else f"{name} = ...\n"
        if name in known or name.partition(".")[0] in tables.broken:
            continue
        inside = sorted(k for k in known if k.endswith(f".{name.rpartition('.')[2]}"))
        otherwise = f"rules have `{inside[0]}`" if inside else "names have underscores: `crash_window`"
        found[name] = Diagnostic(
            "TW204",
            f"no param is called `{name}`",
            PARAMS_FILE,
            Span(begin, begin + len(name)),
            "not declared",
            did_you_mean(name, known, otherwise),
        )
    return lines, found


def parse_override(text: str) -> str | int | float | bool:
    """A PARAM value from a command line: a duration in milliseconds, a size in bytes, a number,
    TRUE or FALSE, else the text itself, with or without quotes.
    """
    if not text:
        return text
    if text.upper() in ("TRUE", "FALSE"):
        return text.upper() == "TRUE"
    for convert in (duration_ms, size_bytes, number):
        try:
            value: int | float = convert(text)
        except ValueError:
            continue
        return value
    return string(text) if len(text) > 1 and text[0] == text[-1] == '"' else text
