"""What an alert calls a step, and the events of that step in words.

Which fields an event has is known from its type, so the function that reads them is generated for each type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.alerting.words import kind_in_words
from engine.alerts import number, printable
from engine.codegen import compile_function
from engine.events import Event

MAX_DETAILS = 4
"""Fields of an event that its summary names; ``fields`` beside it has all that were read."""
_Teller = Callable[[Event], tuple[dict[str, Any], list[str]]]


class StepName:
    """What an alert calls a step (``name``), and the event, signal or rule that it looks for, in words
    (``source``).
    """

    __slots__ = ("_known", "name", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self._known: dict[type[Event], tuple[str, _Teller]] = {}

    def tell(self, event: Event) -> tuple[dict[str, Any], str]:
        """The declared fields of an event that were decoded and are there, by their name in rules; and the
        event in one line, with some of them.
        """
        struct = type(event)
        called, teller = self._known.get(struct) or self._know(struct)
        fields, parts = teller(event)
        text = called + _bracketed(parts)
        return fields, text if text.isprintable() else printable(text)

    def details(self, event: Event) -> str:
        """Some fields of an event in brackets; empty if it has none."""
        _, teller = self._known.get(type(event)) or self._know(type(event))
        return _bracketed(teller(event)[1])

    def _know(self, struct: type[Event]) -> tuple[str, _Teller]:
        kind = kind_in_words(struct.kind)
        called = kind if self.source == kind or kind.startswith("alert of ") else f"{self.source} ({kind})"
        known = self._known[struct] = called, _teller(struct)
        return known


def _teller(struct: type[Event]) -> _Teller:
    names = [attribute[2:] for attribute in struct.__struct_fields__ if attribute.startswith("f_")]
    lines = ["def tell(event):", "    fields, parts = {}, []"]
    for name in names:
        lines += [
            f"    value = event.f_{name}",
            "    if value is not None:",
            f"        fields[{name!r}] = value",
            "        if type(value) is str:",
            f"            parts.append('{name} ' + value)",
            "        elif type(value) is float:",
            f"            parts.append('{name} ' + number(value))",
            "        else:",
            f"            add(parts, {name!r}, value)",
        ]
    lines.append("    return fields, parts")
    teller: _Teller = compile_function("tell", "\n".join(lines) + "\n", {"add": _add, "number": number})
    return teller


def _bracketed(parts: list[str]) -> str:
    return f" [{', '.join(parts[:MAX_DETAILS])}]" if parts else ""


def _add(parts: list[str], name: str, value: Any) -> None:
    """A field of any form, as a part of the summary; lists are not shown there."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        parts.append(f"{name} {number(value)}")
    elif not isinstance(value, list):
        parts.append(f"{name} {value}")
