"""The alert: one JSON object that explains itself. DESIGN.md section 5, DOMAIN.md section 6.

Times in alerts are RFC 3339 in UTC with milliseconds, durations the literals of the language
(``3m32s``) beside whole milliseconds where a program needs them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

Severity = Literal["none", "info", "low", "medium", "high", "critical"]
SCHEMA = "thenwire.alert/1"
Plain = str | int | float | bool | None


class RuleInfo(msgspec.Struct, frozen=True):
    """Which rule, in which form. ``hash`` changes with the meaning, not with META or layout."""

    name: str
    version: str
    hash: str
    params: dict[str, Any]


class Confidence(msgspec.Struct, frozen=True):
    """How sure the evidence is, apart from how bad it would be. ``level``: low, medium, high."""

    level: Literal["low", "medium", "high"]
    why: list[str]


class Window(msgspec.Struct, frozen=True):
    """First to last event. ``limit`` is the longest the rule allows."""

    start: str
    end: str
    limit: str
    limit_ms: int
    elapsed: str
    elapsed_ms: int


class StepEvidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of the match: where it is and the fields that the rule read. A step of several events
    has several of these; the first says in ``count`` how many there were, also those not shown.
    """

    name: str
    event_id: str
    time: str
    kind: str
    source: str
    fields: dict[str, Any]
    start: str | None = None
    quality: str | None = None
    count: int | None = None


class Deviation(msgspec.Struct, frozen=True):
    """What a baseline said of an event. ``expected`` is the band of two spreads around the centre."""

    step: str
    baseline: str
    value: float
    score: float
    centre: float
    expected_low: float
    expected_high: float
    scope: str
    samples: int
    state: str


class Excluded(msgspec.Struct, frozen=True):
    """A guard that was looked for and not found."""

    what: str
    window: str


class Gap(msgspec.Struct, frozen=True):
    """Something the rule needs and cannot see, and what that means for this alert."""

    need: str
    status: str
    effect: str


class Timing(msgspec.Struct, frozen=True):
    """How the evidence came in. ``order``: ``in order`` or which step came late; ``tie`` if adjacent
    events of different sources share a time, so that their order is that of arrival.
    """

    order: str
    tie: bool


class Dedup(msgspec.Struct, frozen=True):
    """``suppressed``: matches counted, not published, since the last published alert of this key."""

    key: str
    suppressed: int


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A published finding; the wire form is this struct as JSON, keys in this order.

    ``activity`` is create, update or close; ``id`` stays for life and ``revision`` counts up.
    ``created_severity`` is the severity of the create: the subject keeps it. ``revisable_until`` is
    the event time until which late evidence may still change it.
    """

    schema: str = SCHEMA
    id: str
    activity: Literal["create", "update", "close"]
    status: Literal["open", "closed"]
    revision: int
    revisable_until: str
    time: str
    rule: RuleInfo
    title: str
    reason: str
    severity: Severity
    created_severity: Severity
    risk: float | None
    confidence: Confidence
    device: str
    key: dict[str, Plain]
    window: Window
    steps: list[StepEvidence]
    fields: dict[str, Plain]
    deviation: list[Deviation]
    excluded: list[Excluded]
    gaps: list[Gap]
    timing: Timing
    response: dict[str, Any]
    attack: dict[str, Any]
    meta: dict[str, Any]
    dedup: Dedup
    texts: dict[str, str]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(milliseconds: int) -> str:
    """Epoch milliseconds as ``2026-11-22T20:55:00.000Z``."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def encode(alert: Alert) -> bytes:
    """The alert as one line of JSON."""
    return msgspec.json.encode(alert)


def printable(text: str) -> str:
    """Untrusted text inside a sentence: control characters become spaces, also those that reverse text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in text)


def number(value: float) -> str:
    """A number for a sentence: whole ones with thousands separators, others with three figures."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
