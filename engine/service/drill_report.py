"""What a drill found, as `thenwire drill --json` says it."""

from __future__ import annotations

import msgspec


class DrillRefused(Exception):
    """The drill must not be held: the device is no canary, or exists. The message is one sentence."""


class Hop(msgspec.Struct, frozen=True):
    """One hop: what was looked at, whether it went well, and what was found. ``ms`` is how long it took."""

    name: str
    ok: bool
    detail: str
    ms: float


class DrillReport(msgspec.Struct, frozen=True):
    """The outcome.

    Attributes:
        ok: the alert came, and was stored, in time.
        failed: the hop that failed.
        alert_seconds: to the alert, from the moment at which the last event before it was published.
        other_version: the service runs another version of the rule than the one the chain was made with.
        left: what could not be taken away, or was left on purpose.
    """

    rule: str
    test: str
    device: str
    ok: bool
    failed: str | None
    hops: tuple[Hop, ...]
    alert: str | None
    severity: str | None
    alert_seconds: float | None
    other_version: bool
    left: tuple[str, ...]
