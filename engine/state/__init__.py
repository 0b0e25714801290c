"""Snapshot and restore: all that a matcher knows, as bytes.

A matcher that is restored goes on as if nothing had happened: whatever comes, it says the same alerts at
the same places, byte for byte. The bytes hold for the same rules, PARAMs and version only; what else
they are given to says so.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec

from engine.alerting.identity import semantic_hash
from engine.baselines.declared import OtherState as OtherState
from engine.sightings import SightingsState
from engine.state import devices, logs
from engine.state.objects import Reader, Writer

if TYPE_CHECKING:
    from engine.matcher import Matcher

VERSION: Final = 4
"""Of the format. It grows with any change to what is written."""
_SIGHTINGS = msgspec.msgpack.Decoder(SightingsState)


def snapshot(matcher: Matcher) -> bytes:
    """All that a matcher knows."""
    writer = Writer()
    shared = logs.written(matcher.logs, writer)
    rules = [devices.written(runtime, writer) for runtime in matcher.runtimes]
    return msgspec.msgpack.encode(
        [
            VERSION,
            digest(matcher),
            writer.state,
            rules,
            matcher.clocks.state(),
            matcher.debt.state(),
            {kind: made.state() for kind, made in matcher.kinds.items()},
            {kind: fit.state() for kind, fit in matcher.fits.items()},
            shared,
            matcher.position,
            msgspec.msgpack.encode(matcher.sightings.state()),
            matcher.baselines.encode(),
            {name: sorted(test.entries) for name, test in matcher.plan.lists.items()},
        ]
    )


def restore(matcher: Matcher, state: bytes) -> None:
    """Give a new matcher of the same rules what another knew.

    Raises:
        OtherState: the bytes are of another version or of other rules, or damaged. The matcher is
            then of no use any more.
    """
    try:
        version, *rest = msgspec.msgpack.decode(state, strict=False)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise OtherState("the state is damaged") from error
    if version != VERSION:
        raise OtherState(f"the state has version {version}, and this program reads version {VERSION}")
    try:
        _restore(matcher, rest)
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, IndexError) as error:
        raise OtherState("the state is damaged") from error


def _restore(matcher: Matcher, rest: list[object]) -> None:
    of, tables, rules, clocks, debt, kinds, fits, shared, position, sightings, baselines, lists = rest
    if of != digest(matcher):
        raise OtherState("the state is of other rules or PARAMs than these")
    for name, entries in lists.items():  # type: ignore[attr-defined]  # as it was written
        matcher.plan.lists[name].replace(tuple(entries))
    reader = Reader(tables, matcher.event_types)  # type: ignore[arg-type]  # as it was written
    logs.restore(matcher.logs, shared, reader)  # type: ignore[arg-type]  # likewise
    for runtime, plain in zip(matcher.runtimes, rules, strict=True):  # type: ignore[call-overload]  # likewise
        devices.restore(runtime, plain, reader, matcher.logs)
    matcher.clocks.restore(clocks)  # type: ignore[arg-type]  # likewise
    matcher.debt.restore(debt, matcher.runtimes)  # type: ignore[arg-type]  # likewise
    matcher.deadlines.restored()
    for kind, cells in kinds.items():  # type: ignore[attr-defined]  # likewise
        matcher.kinds[kind].restore(cells)
    for kind, counters in fits.items():  # type: ignore[attr-defined]  # likewise
        matcher.fits[kind].restore(counters)
    matcher.position = position  # type: ignore[assignment]  # likewise
    matcher.sightings.restore(_SIGHTINGS.decode(sightings))  # type: ignore[arg-type]  # likewise
    matcher.baselines.decode(baselines)  # type: ignore[arg-type]  # likewise


def digest(matcher: Matcher) -> str:
    """What the state depends on: the rules in order with all that is published of them, and the fields of
    the events that are kept.
    """
    rules = [
        [plan.rule.name, semantic_hash(plan.rule), plan.late_ms, plan.grace_ms, plan.automaton]
        for plan in matcher.plan.rules
    ]
    fields = {
        kind: [*struct.__struct_fields__, *struct.__struct_encode_fields__]
        for kind, struct in matcher.decoder.types.items()
    }
    params = [sorted((name, str(value)) for name, value in p.rule.params.items()) for p in matcher.plan.rules]
    return blake2b(msgspec.msgpack.encode([rules, fields, params]), digest_size=16).hexdigest()
