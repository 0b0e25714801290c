"""Recordings through the matcher: several files merged by time, in constant memory.

Inside a file the order of the records stays; between files the one whose next record is earliest
goes first (LANGUAGE.md section 4 item 9). Events of network sensors get their device from the leases
among the events on the way (`engine.sources.identity`); one that waits for its lease goes in behind it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from datetime import tzinfo
from typing import Any, BinaryIO, Protocol

import msgspec

from engine.alerts import Alert
from engine.events import POSITION_SHIFT, BadEvent, Event
from engine.sources import SOURCES, Refusal, ndjson
from engine.sources.detect import detect
from engine.sources.identity import KIND as LEASE
from engine.sources.identity import Counts, Identity, with_times
from engine.sources.lines import Input, lines
from engine.sources.records import Refused

MAX_EXAMPLES = 3
"""Refusals kept word for word for each reason; the rest are counted."""


class Recording(msgspec.Struct, frozen=True):
    """One input: a stream, the name for messages, and what overrides its content."""

    stream: BinaryIO
    name: str
    source: str | None = None
    device: str | None = None
    zone: tzinfo | None = None


class Wire(msgspec.Struct):
    """An event that is not decoded yet, because its device has to be found, or because it is a lease."""

    event: dict[str, Any]
    origin: str

    @property
    def time(self) -> int:
        """Of the event, in epoch milliseconds."""
        return int(self.event["time"])


class Tally(msgspec.Struct):
    """What a replay has read.

    ``events`` were matched, ``unread`` are of declared kinds that no rule reads, ``unknown`` counts
    the kinds that no EVENT declares, ``refused`` the records that are no events, by reason.
    """

    events: int = 0
    unread: int = 0
    unknown: dict[str, int] = {}
    refused: dict[str, int] = {}
    examples: dict[str, list[Refusal]] = {}
    devices: set[str] = set()
    first_ms: int | None = None
    last_ms: int | None = None
    identity: Counts = msgspec.field(default_factory=Counts)

    @property
    def records(self) -> int:
        return self.events + self.unread + sum(self.unknown.values())

    def refuse(self, refusal: Refusal) -> None:
        self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
        examples = self.examples.setdefault(refusal.reason, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(refusal)


class Decodes(Protocol):
    """From a record to an event, as :class:`engine.events.EventDecoder` does it."""

    def decode(self, raw: bytes) -> Event | None: ...
    def convert(self, wire: dict[str, Any]) -> Event | None: ...


class Takes(Protocol):
    """What recordings can be fed to."""

    @property
    def decoder(self) -> Decodes: ...
    def feed(self, event: Event, position: int | None = None) -> list[Alert]: ...
    def close(self) -> list[Alert]: ...


class Replay:
    """Feeds recordings to a matcher, record by record.

    Args:
        matcher: takes the events: a matcher, or what is fed like one.
        recordings: in the order that decides between records of equal time.
        progress: called now and then with the number of records read so far.
        identity: the leases known beforehand; None begins with none.
    """

    def __init__(
        self,
        matcher: Takes,
        recordings: list[Recording],
        progress: Callable[[int], None] | None = None,
        identity: Identity | None = None,
    ) -> None:
        self.matcher = matcher
        self.identity = identity or Identity()
        self.tally = Tally(identity=self.identity.counts)
        self._recordings = recordings
        self._progress = progress

    def run(self) -> Iterator[Alert]:
        """All alerts, in the order in which they are said."""
        streams = [self._started(self._events(recording)) for recording in self._recordings]
        if len(streams) == 1:
            merged: Iterator[Event | Wire] = streams[0]
        else:
            pairs = heapq.merge(*(_in_own_order(stream) for stream in streams), key=_merge_time)
            merged = (event for _, event in pairs)
        tally, feed = self.tally, self.matcher.feed
        for number, event in enumerate(self._identified(merged), 1):
            tally.events += 1
            time: int = event.time  # type: ignore[assignment]  # the decoder has made it an int
            if tally.first_ms is None or time < tally.first_ms:
                tally.first_ms = time
            if tally.last_ms is None or time > tally.last_ms:
                tally.last_ms = time
            tally.devices.add(event.device)
            yield from feed(event, number << POSITION_SHIFT)
            if self._progress is not None and not number % 1024:
                self._progress(tally.records)
        yield from self.matcher.close()

    def _started(self, stream: Iterator[Event | Wire]) -> Iterator[Event | Wire]:
        """The stream, after a look at its first event: a recording that begins with a lease says that leases
        come, so that no traffic goes on without its device before the first of them."""
        first = next(stream, None)
        if first is None:
            return iter(())
        if type(first) is Wire and first.event.get("kind") == LEASE:
            self.identity.expects_leases = True
        return itertools.chain((first,), stream)

    def _identified(self, items: Iterator[Event | Wire]) -> Iterator[Event]:
        """The events with the devices that the leases among them say."""
        known = self.identity
        for item in items:
            if type(item) is not Wire:
                yield item  # type: ignore[misc]  # what is no Wire is an Event
                continue
            if item.event.get("kind") == LEASE:
                found = [*known.advance(item.time), *known.lease(item.event), item.event]
            else:
                found = known.resolve(item.event, item.time)
            yield from self._converted(found, item.origin)
        yield from self._converted(known.close(), "")

    def _converted(self, wires: list[dict[str, Any]], origin: str) -> Iterator[Event]:
        for wire in wires:
            try:
                event = self.matcher.decoder.convert(wire)
            except BadEvent as bad:
                self._bad(bad, str(wire.get("raw_ref", origin)), str(wire.get("kind")))
                continue
            if event is None:
                self.tally.unread += 1
            else:
                yield event

    def _events(self, recording: Recording) -> Iterator[Event | Wire]:
        source = Input(recording.stream, recording.zone)
        name = recording.source
        if name is None:
            try:
                name = detect(source)
            except Refused as refused:
                self.tally.refuse(refused.at(recording.name))
                return
        if name == ndjson.SOURCE:
            yield from self._lines(source, recording.name)
            return
        for item in SOURCES[name](source, recording.name, recording.device):
            if isinstance(item, Refusal):
                self.tally.refuse(item)
                continue
            try:
                event = self.matcher.decoder.convert(item.event)
            except BadEvent as bad:
                # Leases do their work whether the rules know their kind or not.
                if bad.reason != "unknown_kind" or item.event.get("kind") != LEASE:
                    self._bad(bad, item.origin, str(item.event.get("kind")))
                    continue
                event = None
            yield from self._sorted_out(event, item.event, item.origin)

    def _lines(self, source: Input, name: str) -> Iterator[Event | Wire]:
        """Canonical events: the bytes go to the decoder as they are."""
        decode = self.matcher.decoder.decode
        for item in lines(source, name):
            if isinstance(item, Refusal):
                self.tally.refuse(item)
                continue
            origin, raw = item
            try:
                event = decode(raw)
            except BadEvent as bad:
                lease = _lease(raw) if bad.reason == "unknown_kind" else None
                if lease is None:
                    self._bad(bad, origin, bad.detail.rpartition(" ")[2])
                else:
                    yield from self._sorted_out(None, lease, origin)
                continue
            if event is None:
                lease = _lease(raw)
                if lease is None:
                    self.tally.unread += 1
                else:
                    yield from self._sorted_out(None, lease, origin)
            elif event.kind == LEASE or event.attribution == "ip":
                yield from self._sorted_out(event, msgspec.json.decode(raw), origin)
            else:
                yield event

    def _sorted_out(self, event: Event | None, wire: dict[str, Any], origin: str) -> Iterator[Event | Wire]:
        """A good event as it goes on: undecoded where it is a lease or needs one."""
        if wire.get("kind") == LEASE:
            try:
                yield Wire(with_times(wire), origin)
            except Refused as refused:
                self.tally.refuse(refused.at(origin))
        elif event is not None and event.attribution == "ip":
            yield Wire(wire | {"time": event.time}, origin)
        elif event is None:
            self.tally.unread += 1
        else:
            yield event

    def _bad(self, bad: BadEvent, origin: str, kind: str) -> None:
        if bad.reason == "unknown_kind":
            self.tally.unknown[kind] = self.tally.unknown.get(kind, 0) + 1
        else:
            self.tally.refuse(Refusal(origin, bad.reason, bad.detail))


def _lease(raw: bytes) -> dict[str, Any] | None:
    """The event of a line if it is a lease, of a kind that no rule reads or that is not declared."""
    if b'"ident.lease"' not in raw:
        return None
    try:
        event = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, ValueError, MemoryError):
        # The decoder does not look behind a kind that it does not know.
        return None
    return event if isinstance(event, dict) and event.get("kind") == LEASE else None


def _in_own_order(events: Iterator[Event | Wire]) -> Iterator[tuple[int, Event | Wire]]:
    """Pairs whose first part never falls, so that a merge keeps the order inside the file."""
    latest = 0
    for event in events:
        time: int = event.time  # type: ignore[assignment]  # the decoder has made it an int
        latest = max(latest, time)
        yield latest, event


def _merge_time(pair: tuple[int, Event | Wire]) -> int:
    return pair[0]
