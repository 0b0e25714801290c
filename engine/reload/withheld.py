"""Which alerts are published, and which are withheld: exceptions, and rules that are switched off.

It is decided when an alert is created and holds for its life: what was published goes on being revised, what
was withheld is never heard of. The rules know nothing of it, and none of their state is lost.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from engine.alerts import Alert
from engine.events import epoch_ms
from engine.reload.exceptions import Exceptions

MOST: Final = 100_000
"""Withheld alerts that are remembered; beyond it the oldest go, and a later change is published."""
OFF: Final = "off"
"""What an alert was withheld by when its rule was switched off."""
PAST: Final = "past"
"""What an alert was withheld by when it was said of what the service was only filled with."""
_FOR_EVER: Final = 1 << 62
_CUT_BY: Final = 1_000


class Counts(msgspec.Struct, frozen=True):
    """Alerts withheld so far: by exception, and by rule that was off."""

    by_exception: dict[str, int]
    by_rule: dict[str, int]


class Withheld:
    """Decides for each alert."""

    def __init__(self) -> None:
        self.exceptions = Exceptions()
        self.text = ""
        """The exceptions as they were written."""
        self.off: frozenset[str] = frozenset()
        """Names of rules that are switched off."""
        self._of_alert: dict[str, tuple[str, int]] = {}
        self._by_exception: dict[str, int] = {}
        self._by_rule: dict[str, int] = {}
        self._forget_at = 0

    def by(self, alert: Alert, now_ms: int) -> str | None:
        """What an alert is withheld by: the id of an exception, :data:`OFF`, or None: publish it."""
        if alert.activity != "create":
            known = self._of_alert.get(alert.id)
            return None if known is None else known[0]
        if alert.rule.name in self.off:
            self._by_rule[alert.rule.name] = self._by_rule.get(alert.rule.name, 0) + 1
            return self._note(alert, OFF)
        found = self.exceptions.of(alert, now_ms)
        if found is None:
            return None
        self._by_exception[found.id] = self._by_exception.get(found.id, 0) + 1
        return self._note(alert, found.id)

    def note_past(self, alert: Alert) -> None:
        """An alert that nobody has heard of is not to be heard of, however long it takes to end."""
        self._of_alert[alert.id] = PAST, _FOR_EVER

    def switch(self, off: Collection[str]) -> tuple[list[str], list[str]]:
        """Switch rules off, and those that are not named on again; what is newly off, and newly on."""
        now = frozenset(off)
        changed = sorted(now - self.off), sorted(self.off - now)
        self.off = now
        return changed

    @property
    def counts(self) -> Counts:
        """So far."""
        return Counts(dict(self._by_exception), dict(self._by_rule))

    def forget(self, now_ms: int) -> None:
        """Drop what can no longer change. Rarely: it looks at all of them."""
        if now_ms >= self._forget_at:
            self._forget_at = now_ms + 3_600_000
            self._of_alert = {id_: known for id_, known in self._of_alert.items() if known[1] >= now_ms}

    def state(self) -> bytes:
        """All that is known, the exceptions as their text."""
        counts = [self._by_exception, self._by_rule]
        return msgspec.msgpack.encode([self._of_alert, *counts, sorted(self.off), self.text])

    def restore(self, state: bytes) -> None:
        """Go on from :meth:`state`. The exceptions are to be read from :attr:`text` then."""
        of_alert, self._by_exception, self._by_rule, off, self.text = msgspec.msgpack.decode(state)
        self._of_alert = {id_: (by, until) for id_, (by, until) in of_alert.items()}
        self.off = frozenset(off)

    def _note(self, alert: Alert, by: str) -> str:
        if len(self._of_alert) >= MOST:
            for id_ in list(self._of_alert)[:_CUT_BY]:
                del self._of_alert[id_]
        self._of_alert[alert.id] = by, epoch_ms(alert.revisable_until)
        return by
