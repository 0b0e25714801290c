"""Alerts as they come from a replay, kept for the page within a bound."""

from __future__ import annotations

import msgspec

from engine.alerts import Alert, Cause, Change
from engine.events import epoch_ms

MAX_ALERTS = 5_000
"""Alerts that the page lists; beyond it the most severe stay, of equal ones the newest."""
MAX_REVISIONS = 12
"""Changes of one alert that the page tells: the first and the last ones."""

SEVERITIES = ("critical", "high", "medium", "low", "info")
"""From the gravest down."""


class Revision(msgspec.Struct, frozen=True):
    """What happened to an alert once: created, updated or closed."""

    revision: int
    activity: str
    status: str
    changes: list[Change]
    cause: Cause | None


class Shown(msgspec.Struct):
    """An alert as it stands at the end, and how it came to that. ``left_out``: changes not told."""

    alert: Alert
    revisions: list[Revision]
    left_out: int = 0


class Outline(msgspec.Struct, frozen=True, gc=False):
    """The little that is known of every alert, listed or not."""

    rule: str
    device: str
    severity: str
    status: str
    time: int


class Collector:
    """Takes every alert in the order in which it is said.

    Attributes:
        outlines: of every alert, by id, in its last revision.
    """

    def __init__(self, most: int = MAX_ALERTS) -> None:
        self.outlines: dict[str, Outline] = {}
        self._most = most
        self._kept: dict[str, Shown] = {}

    def take(self, alert: Alert) -> None:
        """A create, an update or a close."""
        self.outlines[alert.id] = Outline(
            alert.rule.name, alert.device, alert.severity, alert.status, epoch_ms(alert.time)
        )
        told = Revision(alert.revision, alert.activity, alert.status, alert.changes, alert.cause)
        known = self._kept.get(alert.id)
        if known is None:
            self._kept[alert.id] = Shown(alert, [told], alert.revision - 1)
            if len(self._kept) >= 2 * self._most + 2:
                self._prune()
            return
        known.alert = alert
        known.revisions.append(told)
        if len(known.revisions) > MAX_REVISIONS:
            del known.revisions[1]
            known.left_out += 1

    def shown(self) -> list[Shown]:
        """The alerts of the page: the gravest first, of equal ones the newest."""
        self._prune()
        return list(self._kept.values())

    def _prune(self) -> None:
        kept = sorted(self._kept.values(), key=lambda shown: shown.alert.id)
        kept.sort(key=lambda shown: shown.alert.time, reverse=True)
        kept.sort(key=lambda shown: grade(shown.alert.severity))
        self._kept = {shown.alert.id: shown for shown in kept[: self._most]}


def grade(severity: str) -> int:
    """0 for the gravest."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
