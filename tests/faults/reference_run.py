"""What an uninterrupted run of a recorded stream publishes, and how what was published differs from it.

Time is input: the times at which JetStream stored the messages, and the ticks among them, are part of the
recording. So the reference reads the very stream that the service read, feeds a fresh processor, and knows
nothing of restarts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from reloading import Replayed

import dsl
from engine.service.matching import MatchingProcessor
from engine.service.pull import Pull

_BATCH: Final = 2_000
_BATCH_BYTES: Final = 8 * 1024 * 1024
_WAIT_SECONDS: Final = 300.0


class Recorded(msgspec.Struct, frozen=True):
    """A message of a stream, and when it was stored (epoch milliseconds, as the service reads it)."""

    sequence: int
    stored_ms: int
    subject: str
    payload: bytes
    headers: dict[str, str]


class _NoBackpressure:
    full = False

    async def wait_for_room(self) -> None:
        """There is always room."""


async def read_stream(client: Any, stream: str) -> list[Recorded]:
    """All that a stream holds now, in order."""
    jetstream = client.jetstream(timeout=30.0)
    info = await jetstream.stream_info(stream)
    found: list[Recorded] = []
    if not info.state.messages:
        return found
    last = info.state.last_seq
    name = f"reading-{stream}"
    await jetstream.add_consumer(
        stream,
        ConsumerConfig(name=name, ack_policy=AckPolicy.NONE, mem_storage=True, inactive_threshold=60.0),
    )
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(error: BaseException) -> None:
        if not done.done():
            done.set_exception(error)

    def take(message: Msg, sequence: int, stored_ms: int) -> None:
        if sequence <= last:
            found.append(
                Recorded(sequence, stored_ms, message.subject, message.data, dict(message.headers or {}))
            )
        if sequence >= last and not done.done():
            done.set_result(None)

    pull = Pull(
        client,
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}",
        batch=_BATCH,
        batch_bytes=_BATCH_BYTES,
        heartbeat=5.0,
        position=0,
        backpressure=_NoBackpressure(),
        handle=take,
        ask_reopen=lambda reason: fail(RuntimeError(f"reading {stream} stopped: {reason}")),
        on_failure=fail,
    )
    await pull.open()
    async with asyncio.timeout(_WAIT_SECONDS):
        await done
    await pull.discard()
    await jetstream.delete_consumer(stream, name)
    return found


class Published(msgspec.Struct, frozen=True):
    """What an alert, a dead letter or a late event is known by, and what must be equal."""

    key: str
    subject: str
    payload: bytes


def published(message: Any) -> Published:
    """Of a stored message or one that the reference would publish. The key does not rely on the message id,
    which a broken service may leave out.
    """
    if message.subject.startswith("alerts."):
        alert = msgspec.json.decode(message.payload)
        key = f"{alert['id']}.{alert['revision']}"
    else:
        origin = message.headers.get("Origin-Sequence"), message.headers.get("Origin-Index")
        key = f"{message.subject}:{origin[0]}:{origin[1]}"
    return Published(key, message.subject, message.payload)


class Reference(msgspec.Struct):
    """The outcome of the uninterrupted run, in the order of publication."""

    published: list[Published]
    events: int
    bad: dict[str, int]
    late: int

    @property
    def repeated(self) -> list[str]:
        """What it publishes twice under one id and revision, which must not be: only the first is stored."""
        counts = Counter(one.key for one in self.published)
        return [key for key, count in counts.items() if count > 1]


def reference(
    rules: Path,
    stream: Sequence[Recorded],
    until: int,
    progress: Callable[[int], None] = lambda count: None,
    replayed: Replayed | None = None,
) -> Reference:
    """Run the rules over a recording, up to the sequence ``until``; with ``replayed`` those that it says."""
    processor = (
        MatchingProcessor(dsl.load_text(rules.read_text())) if replayed is None else replayed.processor
    )
    if replayed is not None:
        replayed.stream = stream
    found: list[Published] = []
    done = 0
    for message in stream:
        if message.sequence > until:
            break
        if replayed is not None:
            replayed.after(done)
        out = processor.process(
            message.payload,
            message.headers.get("Content-Type"),
            message.sequence,
            "EVENTS",
            message.subject,
            message.stored_ms,
        )
        found.extend(published(one) for one in out)
        done = message.sequence
        if not message.sequence % 5_000:
            progress(message.sequence)
    return Reference(found, processor.events, dict(processor.dead_letters), processor.late)


class Differences(msgspec.Struct):
    """Counts, and the first few as sentences."""

    expected: int
    found: int
    missing: int
    duplicate: int
    different: int
    """The same id and revision, but another subject or other bytes."""
    unexpected: int
    """An id or a revision that the uninterrupted run does not know."""
    misordered: int
    """A revision of an alert that stands before a smaller one."""
    examples: list[str]

    @property
    def none(self) -> bool:
        """Whether all is as it must be."""
        return not (self.missing or self.duplicate or self.different or self.unexpected or self.misordered)

    @property
    def sentence(self) -> str:
        """All counts."""
        return (
            f"{self.missing} missing, {self.duplicate} duplicate, {self.different} different, "
            f"{self.unexpected} unexpected, {self.misordered} misordered, of {self.expected}"
        )


def compare(expected: Iterable[Published], found: Iterable[Published]) -> Differences:
    """How what was published differs from what should have been."""
    wanted: dict[str, Published] = {}
    for one in expected:
        wanted.setdefault(one.key, one)
    seen: set[str] = set()
    revisions: dict[str, int] = {}
    result = Differences(len(wanted), 0, 0, 0, 0, 0, 0, [])

    def note(text: str) -> None:
        if len(result.examples) < 8:
            result.examples.append(text[:600])

    for one in found:
        result.found += 1
        right = wanted.get(one.key)
        if one.key in seen:
            result.duplicate += 1
            note(f"duplicate: {one.key} {one.subject}")
            continue
        seen.add(one.key)
        if right is None:
            result.unexpected += 1
            note(f"unexpected: {one.key} {one.payload!r}")
        elif right != one:
            result.different += 1
            note(f"different: {one.key} {_first_difference(right.payload, one.payload)}")
        if one.subject.startswith("alerts."):
            alert, _, revision = one.key.rpartition(".")
            if int(revision) < revisions.get(alert, 0):
                result.misordered += 1
                note(f"misordered: {one.key} stands after revision {revisions[alert]}")
            revisions[alert] = max(int(revision), revisions.get(alert, 0))
    for key in wanted.keys() - seen:
        result.missing += 1
        note(f"missing: {key} {wanted[key].payload[:300]!r}")
    return result


def _first_difference(right: bytes, wrong: bytes) -> str:
    place = next(
        (i for i, (a, b) in enumerate(zip(right, wrong, strict=False)) if a != b), min(len(right), len(wrong))
    )
    begin = max(0, place - 60)
    return f"at byte {place}: right {right[begin : place + 80]!r}, found {wrong[begin : place + 80]!r}"
