"""The alert: one JSON object that explains itself. DESIGN.md section 5, DOMAIN.md section 6.

Times in alerts are RFC 3339 in UTC with milliseconds, durations the literals of the language
(``3m32s``) beside whole milliseconds where a program needs them.

None of these can be part of a cycle, so the collector of cycles is not told of them (``gc=False``): a device
keeps what was published as long as it may change.

A key that has a default below is left out of the JSON while it has that value: it says nothing then.
All others are always there, so that a reader need not ask.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any, Literal

import msgspec

Severity = Literal["none", "info", "low", "medium", "high", "critical"]
SCHEMA: Literal["thenwire.alert/1"] = "thenwire.alert/1"
Plain = str | int | float | bool | None


class RuleInfo(msgspec.Struct, gc=False, frozen=True):
    """Which rule, in which form. ``hash`` changes with the meaning, not with META or layout."""

    name: str
    version: str
    hash: str
    params: dict[str, Any]


class Confidence(msgspec.Struct, gc=False, frozen=True):
    """How sure the evidence is, apart from how bad it would be. ``level``: low, medium, high."""

    level: Literal["low", "medium", "high"]
    why: list[str]


class Window(msgspec.Struct, gc=False, frozen=True):
    """First to last event. ``limit`` is the longest the rule allows."""

    start: str
    end: str
    limit: str
    limit_ms: int
    elapsed: str
    elapsed_ms: int


class StepEvidence(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """One event of the match: where it is and the fields that the rule read. A step of several events
    has several of these; the first says in ``count`` how many there were, also those not shown.

    ``summary`` is the event in one line. ``seen``, ``start``, ``quality``, ``attribution`` and ``raw_ref``
    are the envelope's, where the event has them.
    """

    name: str
    event_id: str
    time: str
    kind: str
    source: str
    summary: str
    fields: dict[str, Any]
    start: str | None = None
    seen: str | None = None
    quality: str | None = None
    attribution: str | None = None
    raw_ref: str | None = None
    count: int | None = None


class Deviation(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """What a baseline said of an event when it arrived (LANGUAGE.md section 6).

    ``score`` is the answer of ``function``: of ``deviation`` the distance from the centre in spreads, of
    ``unseen`` 1 or 0. ``value`` is what was judged; ``centre`` and the band of two spreads around it
    (``expected_low`` to ``expected_high``) are there where an estimator has them. ``scope``: whose history
    it is; ``peer``: the key itself was too young, so that a coarser one answered.
    ``samples`` and ``age_ms``: how much history that is, and over how long.
    """

    step: str
    baseline: str
    function: str
    value: float | str
    score: float
    scope: Literal["device", "fleet"]
    samples: int
    state: str
    age_ms: int
    centre: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None
    peer: bool = False
    window_ms: int | None = None
    period_ms: int | None = None


class Excluded(msgspec.Struct, gc=False, frozen=True):
    """A guard that was looked for and not found: in which ``kinds`` of event, and in which time, first
    and last moment included. ``window`` is that time in the words of the rule.
    """

    what: str
    window: str
    kinds: list[str]
    start: str
    end: str


class Gap(msgspec.Struct, gc=False, frozen=True):
    """Something the rule needs and cannot see, and what that means for this alert."""

    need: str
    status: str
    effect: str


class Timing(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """How the evidence came in. ``order``: ``in order``, which event came late, or which step was seen before
    one that happened earlier; ``tie`` if adjacent events of different sources share a time, so that their
    order is that of arrival. ``late_s``: of the event that was seen last, the seconds from its time to then.
    ``clock_note``: an event is dated after it was seen, so that a clock is wrong.
    """

    order: str
    tie: bool
    late_s: float | None = None
    clock_note: str | None = None


class Change(msgspec.Struct, gc=False, frozen=True):
    """One thing that an update changed: ``what``, and its value before and after, as text or number."""

    what: str
    before: Plain
    after: Plain


class Cause(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """The event that made an alert change, and the guard that it is, if it is one (``no app update``)."""

    event_id: str
    kind: str
    time: str
    source: str
    guard: str | None = None
    seen: str | None = None
    raw_ref: str | None = None


class Dedup(msgspec.Struct, gc=False, frozen=True):
    """``suppressed``: matches counted, not published, since the last published alert of this key;
    ``count``: the matches that this alert stands for, its own and those.
    """

    key: str
    count: int
    suppressed: int


class Alert(msgspec.Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """A published finding; the wire form is this struct as JSON, keys in this order.

    ``activity`` is create, update or close; ``id`` stays for life and ``revision`` counts up.
    ``created_severity`` is the severity of the create: the subject keeps it. ``revisable_until`` is
    the event time until which late evidence may still change it. ``incomplete``: something that could
    have changed the match was dropped at a cap, or is no longer kept.
    """

    schema: Literal["thenwire.alert/1"]
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
    incomplete: bool = False
    device: str
    key: dict[str, Plain]
    window: Window
    steps: list[StepEvidence]
    fields: dict[str, Plain]
    deviation: list[Deviation]
    excluded: list[Excluded]
    gaps: list[Gap]
    timing: Timing
    changes: list[Change] = []
    cause: Cause | None = None
    response: dict[str, Any]
    attack: dict[str, Any]
    meta: dict[str, Any]
    dedup: Dedup
    texts: dict[str, str]


_encode = msgspec.json.Encoder().encode
_MINUTE_MS = 60_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LAST_MS = 253_402_300_799_999
_EXACT = 1_000_000_000_000_000
"""Whole numbers below this are said digit by digit."""
# An alert has some ten times, each its own: tables cost a third of formatting.
_SECONDS = tuple(f":{second:02d}." for second in range(60))
_THOUSANDTHS = tuple(f"{thousandth:03d}Z" for thousandth in range(1_000))


def rfc3339(milliseconds: int) -> str:
    """Epoch milliseconds as ``2026-11-22T20:55:00.000Z``. Times before 1970 or after the year 9999, which
    only a window can reach, are given as the first or last that there is.
    """
    if not 0 <= milliseconds <= _LAST_MS:
        milliseconds = min(max(milliseconds, 0), _LAST_MS)
    minutes = milliseconds // _MINUTE_MS
    rest = milliseconds - minutes * _MINUTE_MS
    return f"{_minute(minutes)}{_SECONDS[rest // 1000]}{_THOUSANDTHS[rest % 1000]}"


@lru_cache(maxsize=4_096)
def _minute(minutes: int) -> str:
    day, minute = divmod(minutes, 1_440)
    return f"{date.fromordinal(_EPOCH_DAY + day).isoformat()}T{minute // 60:02d}:{minute % 60:02d}"


def encode(alert: Alert) -> bytes:
    """The alert as one line of JSON."""
    return _encode(alert)


def printable(text: str) -> str:
    """Untrusted text inside a sentence: control characters become spaces, also those that reverse text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in text)


def number(value: float) -> str:
    """A number for a sentence: whole ones with thousands separators, others with three figures."""
    if isinstance(value, int):
        if -1_000 < value < 1_000:
            return f"{int(value)}"
        return f"{value:,}" if -_EXACT < value < _EXACT else f"{value:,.0f}"
    if not -100 < value < 100:
        return f"{value:,.0f}"
    return f"{int(value)}" if value.is_integer() else f"{value:.3g}"
