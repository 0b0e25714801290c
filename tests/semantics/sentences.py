"""A sentence of LANGUAGE.md as a case: a rule, events, and the answer worked out by hand.

The events stand in the order of their positions, kind and time in one word, fields after it; the
answer is the evidence of each match. The oracle and the engine must both say so, the engine in
order and in reverse.
"""

from __future__ import annotations

from typing import Any

from oracle import matches
from running import feed, flat, standing

import dsl

Case = tuple[str, str, str]

DECLARATIONS = """
EVENT a { k: string? x: int? }
EVENT b { k: string? x: int? }
EVENT c { x: int? }
EVENT g { x: int? }
"""


def wire(text: str) -> dict[str, Any]:
    """``b10 x=1 k=p d=d2 start=7`` is the event b at 10 ms; its id is the first word."""
    name, *fields = text.split()
    event: dict[str, Any] = {"kind": name[0], "device": "d1", "time": int(name[1:].rstrip("'")), "id": name}
    for field in fields:
        key, _, value = field.partition("=")
        event["device" if key == "d" else key] = int(value) if key in ("x", "start") else value
    return event


def check(case: Case) -> None:
    """Oracle and engine against the answer."""
    rule, events, evidence = case
    ruleset = dsl.load_text(f"{DECLARATIONS} RULE r {{ {rule} }}")
    assert not ruleset.errors, [d.message for d in ruleset.errors]
    placed = [(wire(text), place) for place, text in enumerate(events.split(", "), start=1)]
    expected = sorted(tuple(match.split()) for match in evidence.split(", ") if match)
    assert sorted(m.evidence for m in matches(ruleset, ruleset.rules["r"], placed)) == expected
    ordered = sorted(placed, key=lambda pair: (pair[0]["time"], pair[1]))
    for arrival in (ordered, ordered[::-1]):
        assert sorted(ids for _, ids in standing(flat(feed(ruleset, arrival)))) == expected
