"""What an alert calls a step, and the events of that step as its evidence.

Which fields an event has is known from its type, so the function that reads them is generated for each type.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.alerting.envelope import seen_at
from engine.alerting.words import kind_in_words
from engine.alerts import StepEvidence, number, printable, rfc3339
from engine.codegen import compile_function
from engine.events import Event
from engine.kept import Kept

MAX_DETAILS = 4
"""Fields of an event that its summary names; ``fields`` beside it has all that were read."""
Evidence = Callable[[Kept, Event, str], StepEvidence]
"""The evidence of an event that is kept, with its time in words."""


class StepName:
    """What an alert calls a step (``name``), and the event, signal or rule that it looks for, in words
    (``source``).

    Attributes:
        known: by type of event, what makes its evidence. Generated code looks here before it calls
            :meth:`know`.
    """

    __slots__ = ("known", "name", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self.known: dict[type[Event], Evidence] = {}

    def evidence(self, kept: Kept) -> StepEvidence:
        """An event as evidence: its envelope, the declared fields that were decoded and are there, by their
        name in rules, and all in one line, with some of them.
        """
        event = kept.event
        make = self.known.get(type(event)) or self.know(type(event))
        return make(kept, event, rfc3339(kept.time))

    def details(self, kept: Kept) -> str:
        """Some fields of an event in brackets; empty if it has none."""
        return self.evidence(kept).summary.removeprefix(printable(self._called(type(kept.event))))

    def know(self, struct: type[Event]) -> Evidence:
        """What makes the evidence of a type of event."""
        known = self.known[struct] = _evidence(self.name, self._called(struct), struct)
        return known

    def _called(self, struct: type[Event]) -> str:
        kind = kind_in_words(struct.kind)
        return kind if self.source == kind or kind.startswith("alert of ") else f"{self.source} ({kind})"


def _evidence(name: str, called: str, struct: type[Event]) -> Evidence:
    fields = [attribute[2:] for attribute in struct.__struct_fields__ if attribute.startswith("f_")]
    lines = ["def evidence(kept, event, at):", "    fields = {}", "    parts = []"]
    for place, field in enumerate(fields):
        lines += [
            f"    value = event.f_{field}",
            "    if value is not None:",
            f"        fields[{field!r}] = value",
            f"        if {f'len(parts) == {MAX_DETAILS}' if place >= MAX_DETAILS else 'False'}:",
            "            pass",
            "        elif type(value) is str:",
            f"            parts.append('{field} ' + value)",
            "        elif type(value) is float or type(value) is int:",
            f"            parts.append('{field} ' + number(value))",
            "        elif not isinstance(value, list):",
            f"            parts.append(f'{field} {{value}}')",
        ]
    # Of the envelope, but an EVENT may use the name for a field of its own; alerts as events have none.
    raw_ref = "event.raw_ref" if "raw_ref" in struct.__struct_fields__ else "None"
    lines += [
        "    summary = f\"{called} [{', '.join(parts)}]\" if parts else called",
        "    if not summary.isprintable():",
        "        summary = printable(summary)",
        "    return StepEvidence(",
        "        name, event.id or kept.event_id, at, kind, event.source or 'unknown', summary, fields,",
        "        None if kept.begin == kept.time else rfc3339(kept.begin),",
        "        None if event.seen is None else seen_at(event),",
        f"        event.quality, event.attribution, {raw_ref},",
        "    )",
    ]
    given = {
        "StepEvidence": StepEvidence,
        "called": called,
        "kind": struct.kind,
        "name": name,
        "number": number,
        "printable": printable,
        "rfc3339": rfc3339,
        "seen_at": seen_at,
    }
    evidence: Evidence = compile_function("evidence", "\n".join(lines) + "\n", given)
    return evidence
