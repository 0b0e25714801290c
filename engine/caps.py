"""Counters of what was dropped at a cap, with the device that met it.

Every bound on memory or work has a name here. A bound that is met once may be a flood or an
attack, so who reads the warnings must learn which rule and which device it was (LANGUAGE.md section
4 item 3); the list of devices is itself bounded.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

MAX_DEVICES: Final = 100
"""Devices named for one rule and cap between two calls of ``take``; the rest are only counted."""


class CapWarning(msgspec.Struct, frozen=True):
    """``count`` things dropped at the cap ``what`` of a rule for a device since the last warning.

    ``device`` is empty for a fleet rule, and ``other devices`` where too many met the cap to name them.
    ``of`` says of what ``rule`` is the name: a baseline counts its keys without saying whose they are.
    """

    rule: str
    device: str
    what: str
    count: int
    of: Literal["rule", "baseline"] = "rule"

    def __str__(self) -> str:
        who = f" for {self.device}" if self.device else ""
        return f"{self.of} {self.rule}{who}: {self.count:,} {self.what}"


KEPT = "kept events dropped: more fit than are kept, and results that need them no longer change"
CHOICES = "choices dropped: more wait than are kept, and a match they could have changed says `capped`"
HELD = "matches dropped that waited for a clock which does not move"
PUBLISHED = (
    "alerts or suppressed matches forgotten: more were said than are remembered, and these no longer change"
)
KEYS = "keys dropped: more devices, apps or values feed it than it has room for, and the oldest start anew"
VALUES = "values dropped: a key has more of them than are counted"
TOO_OLD = "late events dropped: they are older than what is still kept"
OTHERS: Final = "other devices"


class Caps:
    """The counters of one rule."""

    __slots__ = ("recent", "rule", "total")

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.total = 0
        self.recent: dict[str, dict[str, int]] = {}

    def met(self, what: str, device: str, count: int = 1) -> None:
        """So many things were dropped at a cap."""
        self.total += count
        of_cap = self.recent.setdefault(what, {})
        if device not in of_cap and len(of_cap) >= MAX_DEVICES:
            device = OTHERS
        of_cap[device] = of_cap.get(device, 0) + count

    def take(self) -> list[CapWarning]:
        """The warnings since the last call, in the order in which caps and devices met first."""
        found = [
            CapWarning(self.rule, device, what, count)
            for what, of_cap in self.recent.items()
            for device, count in of_cap.items()
        ]
        self.recent.clear()
        return found
