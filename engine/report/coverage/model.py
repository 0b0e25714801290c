"""What a coverage report says, as JSON says it: `thenwire coverage --json` encodes :class:`Coverage`.

Verdicts and their meaning: docs/reference/coverage.md. Times are RFC 3339 in UTC, durations milliseconds,
shares 0 to 1. None stands for what is not known.
"""

from __future__ import annotations

from typing import Final

import msgspec

EVALUABLE: Final = "EVALUABLE"
DEGRADED: Final = "DEGRADED"
BLIND: Final = "BLIND"
VERDICTS: Final = (BLIND, DEGRADED, EVALUABLE)
"""By level, 0 to 2: a whole is as good as the least of what it needs."""
SCHEMA: Final = "thenwire.coverage/1"


def level(verdict: str) -> int:
    """The place of a verdict in :data:`VERDICTS`."""
    return VERDICTS.index(verdict)


class Lateness(msgspec.Struct, frozen=True):
    """How late events of a kind arrive, over ``events`` of them, against what the engine waits for.

    ``basis``: when it was received, or says that it was (``seen``), less ``time``; or how far it was behind
    the newest of the kind (``order``); or both in part.
    """

    p50_ms: int
    p95_ms: int
    budget_ms: int
    events: int
    basis: str


class FieldCoverage(msgspec.Struct, frozen=True):
    """A field that the rule reads: the share of events that have it, and the sources that can set it."""

    name: str
    share: float | None
    sources: tuple[str, ...]


class MemberCoverage(msgspec.Struct, frozen=True):
    """One kind of event that a step or guard may be.

    Attributes:
        able: sources of the catalogue that can feed it as the rule needs it.
        reporting: sources from which events of the kind came, with their number.
        devices: how many sent the kind.
        notes: of those sources, what limits their events.
        by_address: share of its events that name an address in place of a device.
    """

    kind: str
    verdict: str
    reasons: tuple[str, ...]
    fields: tuple[FieldCoverage, ...]
    able: tuple[str, ...]
    reporting: dict[str, int]
    notes: dict[str, str]
    events: int
    devices: int
    by_address: float | None
    lateness: Lateness | None
    last_event: str | None


class LookCoverage(msgspec.Struct, frozen=True):
    """One thing that the rule looks for: a ``step``, a ``wait`` (NO as a step) or a ``guard``.

    ``devices`` send what it needs; ``matched`` events fitted it, the last at ``last_match``.
    """

    what: str
    name: str | None
    role: str
    verdict: str
    members: tuple[MemberCoverage, ...]
    devices: int | None
    matched: int | None
    last_match: str | None


class BaselineCoverage(msgspec.Struct, frozen=True):
    """A baseline that the rule reads: its keys, those with enough history, and those for which at least the
    coarser key (PEER) has it. All None without a recording.
    """

    name: str
    verdict: str
    keys: int | None
    ready: int | None
    answered: int | None


class Devices(msgspec.Struct, frozen=True):
    """Devices of a group: all, those that sent anything, those that did in the last 24 h, and how many of all
    the rule can be judged on. ``listed``: all are those of an inventory.
    """

    all: int
    seen: int
    active: int
    evaluable: int
    degraded: int
    blind: int
    listed: bool


class NotObservable(msgspec.Struct, frozen=True):
    """What no source at all can show, and why."""

    what: str
    reason: str


class RowCoverage(msgspec.Struct, frozen=True):
    """One rule for one platform and group of devices.

    ``longest_ms`` is how far back a match can look; ``retention_ms`` how long the input is kept, where known.
    ``attack`` are the analytics that META names; ``techniques`` those that META or an analytic's strategy
    names, each with where it comes from: ``META``, or the strategy's id.
    """

    rule: str
    title: str
    platform: str
    group: str
    verdict: str
    reasons: tuple[str, ...]
    devices: Devices | None
    looks: tuple[LookCoverage, ...]
    baselines: tuple[BaselineCoverage, ...]
    longest_ms: int | None
    retention_ms: int | None
    alerts: int | None
    last_alert: str | None
    attack: tuple[str, ...]
    strategy: str | None
    techniques: dict[str, str]
    not_observable: tuple[NotObservable, ...]
    not_seen: tuple[str, ...]


class Coverage(msgspec.Struct, frozen=True):
    """The report. ``basis`` is ``rules`` where nothing was read but rules, else ``recording``.

    ``uncounted`` events are of devices beyond the most that are told apart.
    """

    schema: str
    basis: str
    events: int
    devices: int
    uncounted: int
    first: str | None
    last: str | None
    rules: tuple[RowCoverage, ...]
