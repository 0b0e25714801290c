"""Events and values in words: for the summary of a step, for titles, for the reason."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any

from dsl import expressions as e
from dsl.expressions import Value
from dsl.units import format_duration
from engine.alerts import Plain, number, printable, rfc3339
from engine.elements import Deadline, Group
from engine.kept import Kept

in_time = lru_cache(maxsize=4_096)(format_duration)
"""A duration as rules write it; one alert says the same one several times."""
MAX_DETAILS = 4
"""Fields of an event that its summary names; ``fields`` beside it has all that were read."""
_ATTRIBUTES: dict[type, tuple[tuple[str, str], ...]] = {}
"""For each struct of events the names and attributes of its declared fields: a cache, nothing else."""


def fields_of(kept: Kept) -> dict[str, Any]:
    """The declared fields that were decoded and are there, by their name in rules."""
    event = kept.event
    return {
        name: value
        for name, attribute in _attributes(type(event))
        if (value := getattr(event, attribute)) is not None
    }


def _attributes(struct: Any) -> tuple[tuple[str, str], ...]:
    found = _ATTRIBUTES.get(struct)
    if found is None:
        found = tuple((name[2:], name) for name in struct.__struct_fields__ if name.startswith("f_"))
        # Structs are made anew at each load of rules; those of old ones need not be kept for ever.
        if len(_ATTRIBUTES) >= 1_000:
            _ATTRIBUTES.clear()
        _ATTRIBUTES[struct] = found
    return found


def kind_in_words(kind: str) -> str:
    """An event kind as rules write it: ``net flow``, ``alert of quick``."""
    if kind.startswith("alert:"):
        return "alert of " + kind.removeprefix("alert:").replace("_", " ")
    return kind.replace(".", " ")


def event_in_words(what: str, kept: Kept, fields: dict[str, Any]) -> str:
    """The event of a step named ``what`` (an event, a signal, a rule) in one line, with some fields."""
    kind = kind_in_words(kept.event.kind)
    text = kind if what == kind or kind.startswith("alert of ") else f"{what} ({kind})"
    return printable(text + _details(fields))


def element_in_words(what: str, element: Kept, fields: dict[str, Any]) -> str:
    """What completed a step: an event, how many events there were, or what was absent.

    ``fields`` are those of the last event.
    """
    if isinstance(element, Deadline):
        return f"no {what}"
    if isinstance(element, Group):
        spread = element.time - element.begin
        within = f" within {in_time(spread)}" if spread else " at once"
        if element.branches:
            kinds = dict.fromkeys(kind_in_words(kept.event.kind) for kept in element.events)
            return f"{', '.join(kinds)} together{within}"
        return printable(f"{element.count} {what}{within}{_details(fields)}")
    return event_in_words(what, element, fields)


def _details(fields: dict[str, Any]) -> str:
    """The first few fields in brackets."""
    parts = [
        f"{name} {number(value) if isinstance(value, int | float) and not isinstance(value, bool) else value}"
        for name, value in islice(((k, v) for k, v in fields.items() if not isinstance(v, list)), MAX_DETAILS)
    ]
    return f" [{', '.join(parts)}]" if parts else ""


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
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
