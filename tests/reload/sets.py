"""Rule sets in versions, and random streams for them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec

import dsl
from engine.alerts import Alert
from engine.events import POSITION_SHIFT
from engine.reload.bundle import bundle_of
from engine.reload.in_force import InForce
from engine.reload.prepare import Prepared, prepare_loaded

ZERO = 1_700_000_000_000
AHEAD = 120_000

EVENTS = """
EVENT a { host: string  x: int? }
EVENT b { host: string }
EVENT c { host: string }
"""


def rules(limit: int = 3, severity: str = "medium", window: str = "60s", more: str = "") -> str:
    """A set: `chain` changes with the limit and the window, `steady` only in its severity."""
    return (
        EVENTS
        + f"""
RULE chain {{ BY device, host  WHEN a [x > {limit}] AS s THEN b WITHIN {window} }}
RULE steady {{ BY device, host  WHEN c THEN b WITHIN 90s  SEVERITY {severity}  ALERT {{ title: "x" }} }}
RULE quiet {{ WHEN c AS s THEN NO b FOR 40s  SEVERITY {severity} }}
{more}
"""
    )


def prepared(text: str) -> Prepared:
    """A set that must be right."""
    ruleset = dsl.load_text(text)
    found = prepare_loaded(bundle_of(ruleset), ruleset)
    assert isinstance(found, Prepared), found
    return found


class Message(msgspec.Struct, frozen=True):
    """A message of a stream: its sequence, when it was stored, and the event in it."""

    sequence: int
    stored_ms: int
    event: dict[str, Any]

    @property
    def raw(self) -> bytes:
        return json.dumps(self.event).encode()


def stream(random: Random, count: int, devices: int = 3, late: bool = True) -> list[Message]:
    """Messages a second or two apart; some events are dated back by up to a minute."""
    found: list[Message] = []
    now = ZERO
    for sequence in range(1, count + 1):
        now += random.randint(200, 2_000)
        back = random.choice([0, 0, 0, random.randint(0, 60_000)]) if late else 0
        kind = random.choice("aabc")
        event = {
            "kind": kind,
            "device": f"d{random.randrange(devices)}",
            "host": random.choice("hi"),
            "time": now - 50 - back,
            "id": f"e{sequence}",
        }
        if kind == "a":
            event["x"] = random.randrange(8)
        found.append(Message(sequence, now, event))
    return found


class Running:
    """A run with reloads: what it said, in order."""

    def __init__(self, first: str) -> None:
        made = prepared(first)
        self.force = InForce(made.bundle, made.ruleset, made.matcher)
        self.said: list[Alert] = []
        self.last = Message(0, ZERO, {})

    def take(self, message: Message) -> list[Alert]:
        force, at = self.force, message.stored_ms
        position = message.sequence << POSITION_SHIFT
        found = force.matcher.advance(at)
        found += force.matcher.feed_json(message.raw, position)
        found += force.drained(message.raw, None, message.sequence, at, at + AHEAD)
        self.said += found
        self.last = message
        return found

    def swap(self, text: str) -> Any:
        return self.force.swap(prepared(text), self.last.sequence, self.last.stored_ms)

    def crash(self) -> None:
        """The process ends; another goes on from the state."""
        self.force = InForce.restore(*self.force.snapshot())


def evidence(alert: Alert) -> tuple[Any, ...]:
    """What an alert says, without the id it has."""
    return (
        alert.rule.name,
        alert.rule.hash,
        alert.activity,
        alert.revision,
        alert.severity,
        alert.device,
        tuple(step.event_id for step in alert.steps),
    )
