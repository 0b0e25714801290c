"""Feeds events to a rule set and gives what it says. Times are minutes after 2026-03-02T08:00:00Z."""

from __future__ import annotations

from typing import Any

import msgspec

import dsl
from engine import Alert, Matcher

ZERO_MS = 1_772_438_400_000
MINUTE = 60_000
HOUR = 60.0
DAY = 24 * HOUR


class Feed:
    """A matcher for rules given as text. ``alerts`` are those of the last call."""

    def __init__(self, rules: str) -> None:
        ruleset = dsl.load_text(rules)
        assert not ruleset.errors, [d.message for d in ruleset.errors]
        self.matcher = Matcher(ruleset)
        assert not self.matcher.diagnostics, [d.message for d in self.matcher.diagnostics]
        self.alerts: list[Alert] = []
        self._number = 0

    def __call__(self, kind: str, minute: float, **fields: Any) -> list[Alert]:
        """One event; ``seen`` is in minutes, too."""
        self._number += 1
        wire = {
            "kind": kind,
            "device": "d1",
            "id": f"{kind} {self._number}",
            "time": at(minute),
            "source": "sensor",
            **fields,
        }
        for name in ("seen", "start"):
            if isinstance(wire.get(name), int | float):
                wire[name] = at(wire[name])
        self.alerts = self.matcher.feed_json(msgspec.json.encode(wire))
        return self.alerts

    def one(self, kind: str, minute: float, **fields: Any) -> Alert:
        """One event that causes one alert."""
        (alert,) = self(kind, minute, **fields)
        return alert


def at(minute: float) -> int:
    """Epoch milliseconds."""
    return ZERO_MS + round(minute * MINUTE)
