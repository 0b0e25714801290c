"""Kinds and values in words: for the summary of a step, for titles, for the reason."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from dsl import expressions as e
from dsl.expressions import Value
from dsl.units import format_duration
from engine.alerts import Plain, number, rfc3339

in_time = lru_cache(maxsize=4_096)(format_duration)
"""A duration as rules write it; one alert says the same one several times."""


@lru_cache(maxsize=4_096)
def kind_in_words(kind: str) -> str:
    """An event kind as rules write it: ``net flow``, ``alert of quick``."""
    if kind.startswith("alert:"):
        return "alert of " + kind.removeprefix("alert:").replace("_", " ")
    return kind.replace(".", " ")


def value_in_words(value: Any, node: Value) -> str:
    """A value inside a title: durations and times as people write them, numbers short, missing said."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if node.type.name == e.DURATION:
        return in_time(int(value))
    if node.type.name == e.TIMESTAMP:
        return rfc3339(int(value))
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).replace(".", " ") if isinstance(node, e.Field) and node.name == "kind" else str(value)


def plain(value: Any) -> Plain:
    """A value as an alert may carry it: text, number, truth or nothing."""
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
