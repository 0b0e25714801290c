"""Which types may be compared and combined. Nothing is coerced (LANGUAGE.md section 2)."""

from __future__ import annotations

from dsl.expressions import (
    BOOL,
    DURATION,
    FLOAT,
    INT,
    IP,
    SEVERITY,
    STRING,
    STRINGS,
    TIMESTAMP,
    Constant,
    Type,
    Value,
)
from dsl.literals import check_ip

FIELD_TYPES = (STRING, INT, FLOAT, BOOL, IP, TIMESTAMP, DURATION)
_ORDERED = {INT, FLOAT, STRING, TIMESTAMP, DURATION}
_WITH_ARTICLE = {
    STRING: "a string",
    INT: "a number",
    FLOAT: "a number",
    BOOL: "a condition",
    IP: "an ip",
    TIMESTAMP: "a timestamp",
    DURATION: "a duration",
    STRINGS: "a list of strings",
    SEVERITY: "a severity",
}


def describe(found: Type) -> str:
    """The type as a message says it: ``bytes``, ``a duration``."""
    if found.number and found.unit:
        return found.unit
    return _WITH_ARTICLE.get(found.name, found.name)


def comparable(left: Value, right: Value, operator: str) -> tuple[str, str] | None:
    """None if the two may be compared so, else a message (empty for the usual one) and a hint."""
    a, b = left.type, right.type
    if {a.name, b.name} == {IP, STRING}:
        literal = left if a.name == STRING else right
        if not isinstance(literal, Constant):
            return "", "an ip compares with an ip field or a literal address"
        problem = check_ip(str(literal.value))
        if problem is not None:
            return problem, 'networks are matched with `IN CIDR("10.0.0.0/8")`'
    elif a.number and b.number:
        if a.unit and b.unit and a.unit != b.unit:
            return "", "the units differ"
    elif a.name != b.name:
        return "", _hint(a, b)
    if operator not in ("==", "!=") and a.name not in _ORDERED:
        return f"{describe(a)} has no order", "only == and != apply"
    if a.name == STRINGS:
        return "lists do not compare", "use `value IN field`"
    return None


def _hint(a: Type, b: Type) -> str:
    names = {a.name, b.name}
    if DURATION in names and (a.number or b.number):
        return "sizes look like 20KB, counts like 20; durations compare with durations"
    if STRING in names and (a.number or b.number):
        return "numbers stand without quotes"
    if BOOL in names:
        return "write TRUE or FALSE, or the bare field"
    return "both sides must have one type"


def result_of(operator: str, a: Type, b: Type) -> Type | None:
    """The type of ``a operator b``; None where it has no meaning."""
    if a.number and b.number:
        if a.unit and b.unit and a.unit != b.unit and operator != "/":
            return None
        unit = a.unit or b.unit
        if operator == "/":
            unit = None if a.unit and b.unit else a.unit
        elif operator == "*" and a.unit and b.unit:
            unit = None
        floats = operator == "/" or FLOAT in (a.name, b.name)
        return Type(FLOAT if floats else INT, unit)
    pair = (a.name, b.name)
    if operator in "+-" and pair == (DURATION, DURATION):
        return Type(DURATION)
    if operator == "-" and pair == (TIMESTAMP, TIMESTAMP):
        return Type(DURATION)
    if operator in "+-" and pair == (TIMESTAMP, DURATION):
        return Type(TIMESTAMP)
    if operator in "*/" and a.name == DURATION and b.number and not b.unit:
        return Type(DURATION)
    if operator == "*" and b.name == DURATION and a.number and not a.unit:
        return Type(DURATION)
    if operator == "/" and pair == (DURATION, DURATION):
        return Type(FLOAT)
    if operator == "-" and a.name == INT and b.name == DURATION:
        return Type(DURATION)  # unary minus is written 0 - x
    return None
