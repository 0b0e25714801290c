"""One picture of a running service: what /metrics, the endpoint ``status`` and ``thenwire top`` show.

It is put together when somebody asks. The way of an event pays nothing for it: the figures are those that the
parts keep anyway, the backlog is asked of the server every few seconds, and costs are sampled (`sampling`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.service.matching import MatchingProcessor
from engine.service.observer import Running
from engine.service.operations.backlog import Backlog
from engine.service.operations.readiness import Readiness
from engine.service.operations.sampling import Sampler


class InputStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The reading of the input stream, in messages; sequences are those of the stream."""

    stream: str
    consumer: str
    connected: bool
    messages: int
    """Processed since the start."""
    position: int
    """Sequence of the last one."""
    acknowledged: int
    skipped: int
    """Delivered again and recognised."""
    reopened: int
    lost: int
    """Removed by retention before they were read."""
    failed: int
    """At which the processor raised."""
    reconnects: int
    lag_messages: int | None
    """In the stream and not yet processed; None before the server was first asked."""
    lag_seconds: float | None
    """Age of the newest processed message while others wait, else 0."""


class KindStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one kind; times in seconds."""

    kind: str
    seen: int
    late: int
    sampled: int
    """How many were timed."""
    cost: float | None
    """Mean time in the engine of one event, of those timed."""


class RuleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. ``cost`` is the mean time of a timed event that fit it, in seconds; of one that fits several
    rules, each has its share. ``devices``: those of which the rule keeps anything.
    """

    name: str
    status: str
    fits: int
    starts: int
    matches: int
    suppressed: int
    unkeyed: int
    duplicates: int
    dropped: int
    reruns: int
    devices: int
    sampled: int
    cost: float | None


class BaselineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One baseline: keys it knows, those evicted at a cap, values dropped at a cap."""

    name: str
    keys: int
    evicted: int
    dropped_values: int


class OutputStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What was published, in messages. ``stored`` is by the first token of the subject."""

    stored: dict[str, int]
    duplicates: int
    resent: int
    refused: int
    unsettled: int
    """Published or waiting, and not yet known to be stored."""


class CheckpointStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the checkpoints stand: how many this run wrote; of the last one the age and length in seconds, and
    the bytes; how many attempts failed, and why none can be written now, if so.
    """

    committed: int
    age: float | None
    bytes: int
    seconds: float
    failures: int
    hold: float
    """The longest that one has held the event loop at a time, in seconds."""
    problem: str | None


class ListStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A LIST with a REFRESH: entries in force, and seconds since its file was changed (null: it is gone)."""

    name: str
    entries: int
    age: float | None


class FillStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A fill of rules that a change brings (``--warm``): messages of the past read, of about so many."""

    read: int
    of: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. Counters begin at 0 with the process, those of rules and kinds with the restored state."""

    version: str
    time_ms: int
    uptime: float
    ready: bool
    reason: str
    """Why it is not ready; empty when it is."""
    input: InputStatus
    events: int
    """Given to the matcher."""
    unread: int
    """Of declared kinds that no rule reads."""
    unknown: int
    """Of kinds that no EVENT declares."""
    late: int
    """Too late to be matched."""
    alerts: int
    """Caused, updates and closes included."""
    dead_letters: dict[str, int]
    """By reason."""
    kinds: list[KindStatus]
    rules: list[RuleStatus]
    baselines: list[BaselineStatus]
    output: OutputStatus
    checkpoint: CheckpointStatus | None
    lists: list[ListStatus]
    loop_delay: float
    """The longest that the event loop was held in the last minute, in seconds."""
    behind: bool
    """Whether deadlines or late events that came in great number are still being worked off."""
    fill: FillStatus | None
    """While rules are filled."""


class Sources(msgspec.Struct, frozen=True):
    """What a status is made of. ``started``: epoch seconds; ``in_force`` says which rules are in force."""

    running: Running
    backlog: Backlog
    sampler: Sampler | None
    readiness: Readiness
    version: str
    started: float
    in_force: Callable[[], dict[str, Any]] | None = None


def status(sources: Sources, now: float) -> Status:
    """The picture at ``now``, epoch seconds."""
    running = sources.running
    ready, reason = sources.readiness.verdict()
    processor = running.processor
    matching = processor if isinstance(processor, MatchingProcessor) else None
    return Status(
        version=sources.version,
        time_ms=int(now * 1_000),
        uptime=max(0.0, now - sources.started),
        ready=ready,
        reason=reason,
        input=_input(running, sources.backlog, now),
        events=matching.events if matching else 0,
        unread=matching.unread if matching else 0,
        unknown=sum(matching.unknown.values()) if matching else 0,
        late=matching.late if matching else 0,
        alerts=matching.alerts if matching else 0,
        dead_letters=dict(matching.dead_letters) if matching else {},
        kinds=_kinds(matching, sources.sampler) if matching else [],
        rules=_rules(matching, sources.sampler) if matching else [],
        baselines=_baselines(matching) if matching else [],
        output=OutputStatus(
            stored=dict(running.publisher.stored),
            duplicates=running.publisher.duplicates,
            resent=running.publisher.resent,
            refused=running.publisher.refused,
            unsettled=running.publisher.unsettled,
        ),
        checkpoint=_checkpoint(running, now),
        lists=_lists(matching, sources.backlog, now) if matching else [],
        loop_delay=sources.backlog.loop_delay,
        behind=matching.behind if matching else False,
        fill=_fill(sources.in_force),
    )


def _input(running: Running, backlog: Backlog, now: float) -> InputStatus:
    report = running.report()
    return InputStatus(
        stream=running.settings.input_stream,
        consumer=running.settings.consumer,
        connected=running.connection.client.is_connected,
        messages=report.messages,
        position=report.last_sequence_processed,
        acknowledged=report.last_sequence_acked,
        skipped=report.skipped,
        reopened=report.reopened,
        lost=report.lost,
        failed=report.failed,
        reconnects=running.connection.reconnects,
        lag_messages=backlog.messages(report.last_sequence_processed),
        lag_seconds=backlog.seconds(report.last_sequence_processed, now),
    )


def _kinds(matching: MatchingProcessor, sampler: Sampler | None) -> list[KindStatus]:
    found = []
    for kind, count in sorted(matching.matcher.counts.items()):
        cost = sampler.kinds.get(kind) if sampler is not None else None
        found.append(
            KindStatus(
                kind=kind,
                seen=count.seen,
                late=count.late,
                sampled=cost.samples if cost else 0,
                cost=cost.mean if cost else None,
            )
        )
    return found


def _rules(matching: MatchingProcessor, sampler: Sampler | None) -> list[RuleStatus]:
    found = []
    rules = matching.ruleset.rules
    for name, count in matching.matcher.rule_counts().items():
        cost = sampler.rules.get(name) if sampler is not None else None
        rule = rules.get(name)
        found.append(
            RuleStatus(
                name=name,
                status=str(rule.meta.get("status") or "live") if rule is not None else "draining",
                fits=count.fits,
                starts=count.starts,
                matches=count.matches,
                suppressed=count.suppressed,
                unkeyed=count.unkeyed,
                duplicates=count.duplicates,
                dropped=count.dropped,
                reruns=count.reruns,
                devices=count.devices,
                sampled=cost.samples if cost else 0,
                cost=cost.mean if cost else None,
            )
        )
    return found


def _baselines(matching: MatchingProcessor) -> list[BaselineStatus]:
    return [
        BaselineStatus(name=name, keys=count.keys, evicted=count.evicted, dropped_values=count.dropped_values)
        for name, count in matching.matcher.baselines.counts().items()
    ]


def _checkpoint(running: Running, now: float) -> CheckpointStatus | None:
    facts = running.checkpoint()
    if facts is None:
        return None
    return CheckpointStatus(
        committed=facts.committed,
        age=None if facts.committed_at is None else max(0.0, now - facts.committed_at),
        bytes=facts.bytes,
        seconds=facts.seconds,
        failures=facts.failures,
        hold=running.report().longest_hold_ms / 1_000,
        problem=facts.problem,
    )


def _fill(in_force: Callable[[], dict[str, Any]] | None) -> FillStatus | None:
    progress = None if in_force is None else in_force().get("filling")
    return None if progress is None else FillStatus(read=progress["read"], of=progress["of"])


def _lists(matching: MatchingProcessor, backlog: Backlog, now: float) -> list[ListStatus]:
    found = []
    for one in matching.refreshed:
        test = matching.matcher.plan.lists.get(one.name)
        changed = backlog.changed.get(one.name)
        age = None if changed is None else max(0.0, now - changed)
        found.append(ListStatus(name=one.name, entries=len(test.entries) if test is not None else 0, age=age))
    return found
