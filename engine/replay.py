"""Recordings through the matcher: several files merged by time, in constant memory.

Inside a file the order of the records stays; between files the one whose next record is earliest
goes first (LANGUAGE.md section 4 item 9).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from engine.alerts import Alert
from engine.events import POSITION_SHIFT, BadEvent, Event
from engine.matcher import Matcher
from engine.sources import SOURCES, Refusal, ndjson
from engine.sources.detect import detect
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

    @property
    def records(self) -> int:
        return self.events + self.unread + sum(self.unknown.values())

    def refuse(self, refusal: Refusal) -> None:
        self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
        examples = self.examples.setdefault(refusal.reason, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(refusal)


class Replay:
    """Feeds recordings to a matcher, record by record.

    Args:
        matcher: takes the events.
        recordings: in the order that decides between records of equal time.
        progress: called now and then with the number of records read so far.
    """

    def __init__(
        self, matcher: Matcher, recordings: list[Recording], progress: Callable[[int], None] | None = None
    ) -> None:
        self.matcher = matcher
        self.tally = Tally()
        self._recordings = recordings
        self._progress = progress

    def run(self) -> Iterator[Alert]:
        """All alerts, in the order in which they are said."""
        streams = [self._events(recording) for recording in self._recordings]
        if len(streams) == 1:
            merged: Iterator[Event] = streams[0]
        else:
            pairs = heapq.merge(*(_in_own_order(stream) for stream in streams), key=_merge_time)
            merged = (event for _, event in pairs)
        tally, feed = self.tally, self.matcher.feed
        for number, event in enumerate(merged, 1):
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

    def _events(self, recording: Recording) -> Iterator[Event]:
        source = Input(recording.stream)
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
                self._bad(bad, item.origin, str(item.event.get("kind")))
                continue
            if event is None:
                self.tally.unread += 1
            else:
                yield event

    def _lines(self, source: Input, name: str) -> Iterator[Event]:
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
                self._bad(bad, origin, bad.detail.rpartition(" ")[2])
                continue
            if event is None:
                self.tally.unread += 1
            else:
                yield event

    def _bad(self, bad: BadEvent, origin: str, kind: str) -> None:
        if bad.reason == "unknown_kind":
            self.tally.unknown[kind] = self.tally.unknown.get(kind, 0) + 1
        else:
            self.tally.refuse(Refusal(origin, bad.reason, bad.detail))


def _in_own_order(events: Iterator[Event]) -> Iterator[tuple[int, Event]]:
    """Pairs whose first part never falls, so that a merge keeps the order inside the file."""
    latest = 0
    for event in events:
        time: int = event.time  # type: ignore[assignment]  # the decoder has made it an int
        latest = max(latest, time)
        yield latest, event


def _merge_time(pair: tuple[int, Event]) -> int:
    return pair[0]
