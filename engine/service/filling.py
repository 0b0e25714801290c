"""``--warm``: rules that begin without a past are first filled with what the stream still holds of it.

The service reads from some time before its *place* up to the place, and publishes nothing meanwhile. What
comes after the place is processed as ever. It reads through its own consumer, so it needs no further
permission; but that consumer's memory of what was acknowledged is the place of who has no state, and reading
back overwrites it. So the place is first written into the consumer's metadata, and taken out when the rules
are filled and, where there is a store, their state is stored. A fill that was interrupted is begun anew from
that note, with whatever options the service is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import time
from typing import Final, Protocol, runtime_checkable

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import StreamInfo

from engine.service.connection import Connection
from engine.service.consumer import Consumer
from engine.service.durable import ensure_consumer, find_consumer, note_at_consumer
from engine.service.errors import ServiceError
from engine.service.look_back import first_since
from engine.service.message import content_type
from engine.service.processor import ProcessesTogether, Processor
from engine.service.pull import Backpressure, Received, alike
from engine.service.settings import Settings

_log = logging.getLogger("thenwire.service")
NOTE: Final = "thenwire-filling"
"""The key in the consumer's metadata. Its value: the place and the milliseconds before it."""
_SAY_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.5


@runtime_checkable
class Fills(Protocol):
    """A processor that can be filled."""

    def begin_filling(self) -> None:
        """From now on nobody hears of what comes of a message, and it is not counted."""
        ...

    def end_filling(self) -> int:
        """From now on it is heard of again, but nothing of what was said meanwhile: it is not revised, and
        suppresses nothing. How many alerts these are. Takes time by the number of devices, and may run in a
        thread while nothing else is done.
        """
        ...


class Note(msgspec.Struct, frozen=True):
    """What is to be done: know so many milliseconds before the message ``place``."""

    place: int
    before_ms: int

    def __str__(self) -> str:
        return f"{self.place} {self.before_ms}"

    @classmethod
    def read(cls, text: str) -> Note | None:
        """From its text; None for something else."""
        place, _, before = text.partition(" ")
        return cls(int(place), int(before)) if place.isdecimal() and before.isdecimal() else None


class Filling:
    """One fill. ``progress`` is a sentence while it lasts, else empty.

    Args:
        connection: open.
        settings: of the service.
        processor: has seen nothing yet.
        backpressure: of who would publish.
    """

    def __init__(
        self, connection: Connection, settings: Settings, processor: Processor, backpressure: Backpressure
    ) -> None:
        self.received_ms = 0
        """When the last message up to the place was stored, epoch milliseconds; 0 if there was none."""
        self._connection = connection
        self._settings = settings
        self._stream = settings.input_stream
        self._processor = processor
        self._together = processor.process_together if isinstance(processor, ProcessesTogether) else None
        self._backpressure = backpressure
        self._place = 0
        self._count = 0
        self._total = 0
        self._active = False
        self._known = False
        self._passed = False
        self._acknowledge_after = settings.max_ack_pending // 4
        self._taken = 0
        self._wake = asyncio.Event()

    @property
    def progress(self) -> str:
        """What is being done, for /readyz and the log."""
        if not self._active:
            return ""
        if self._known:
            return f"The rules are filled from stream {self._stream}, and their state is being stored."
        return (
            f"The rules are being filled from stream {self._stream}: {self._count:,} of about "
            f"{self._total:,} messages are read."
        )

    async def fill(self, stream: StreamInfo, after: int | None, before_ms: int | None) -> int | None:
        """Fill the processor, if that is asked for or was begun before.

        Args:
            stream: as it is now.
            after: the stored place; None: only the server knows, or nobody.
            before_ms: what was asked for; None: only what was begun is done.

        Returns:
            The place to go on from: `done` is to be called when the state there is stored. None: there was
            nothing to do, and the place is the one that it would have been.

        Raises:
            ServiceError: the stream cannot be read.
        """
        try:
            note = await self._note(stream, after, before_ms)
            if note is None:
                return None
            assert isinstance(self._processor, Fills)
            start = await self._start(stream, note)
            self._processor.begin_filling()
            if start is not None:
                await self._read(start)
            self._known = True
            unheard = await asyncio.to_thread(self._processor.end_filling)
            _log.info(
                "the rules are filled: %d messages read, %d alerts of the past withheld; alerts begin after "
                "sequence %d",
                *(self._count, unheard, note.place),
            )
            return note.place
        except (TimeoutError, NatsError) as error:
            raise ServiceError(f"Stream {self._stream} cannot be read: {error}.") from None

    async def done(self) -> None:
        """What `fill` did need not be done again. Raises `ServiceError`."""
        try:
            jetstream = self._connection.jetstream()
            if self._active:
                # The server's memory is the place again, for who has no other.
                await jetstream.reset_consumer(self._stream, self._settings.consumer, seq=self._place + 1)
            await self.forget()
        except (TimeoutError, NatsError) as error:
            raise ServiceError(f"Stream {self._stream} cannot be read: {error}.") from None
        self._active = False

    async def forget(self) -> None:
        """Take the note away, if there is one."""
        jetstream = self._connection.jetstream()
        found = await find_consumer(jetstream, self._settings)
        if found is not None and NOTE in (found.config.metadata or {}):
            await note_at_consumer(jetstream, self._settings, NOTE, None)

    async def _note(self, stream: StreamInfo, after: int | None, before_ms: int | None) -> Note | None:
        """What to do, which is written down before anything is done."""
        jetstream = self._connection.jetstream()
        found = await find_consumer(jetstream, self._settings)
        text = None if found is None else (found.config.metadata or {}).get(NOTE)
        begun = None if text is None else Note.read(text)
        if begun is None and before_ms is None:
            return None
        if found is not None:
            # One of that name that is not ours must be left as it is.
            found = await ensure_consumer(jetstream, self._settings)
        last = stream.state.last_seq
        if begun is not None:
            place = begun.place
            _log.warning("filling the rules was interrupted, and is begun anew, up to sequence %d", place)
            before_ms = begun.before_ms if before_ms is None else before_ms
        elif after is not None:
            place = after
        elif found is None:
            place = last
        else:
            place = found.ack_floor.stream_seq if found.ack_floor else 0
        assert before_ms is not None
        note = Note(min(place, last), before_ms)
        if begun != note:
            await note_at_consumer(jetstream, self._settings, NOTE, str(note))
        self._place = note.place
        self._active = True
        return note

    async def _start(self, stream: StreamInfo, note: Note) -> int | None:
        """The message to begin with; None if there is none."""
        held = stream.state
        if not held.messages or note.place < held.first_seq or not note.before_ms:
            return None
        found = await first_since(self._connection, self._settings, stream, note.place, note.before_ms)
        if found is None:
            return None
        if found.missing_ms > 0:
            _log.warning(
                "stream %s holds nothing from before %s: the rules are filled with less than was asked for",
                *(self._stream, _shown(found.stored_ms)),
            )
        _log.info(
            "filling the rules from sequence %d, stored %s, to sequence %d; nothing is published meanwhile",
            *(found.sequence, _shown(found.stored_ms), note.place),
        )
        return found.sequence

    async def _read(self, start: int) -> None:
        consumer = Consumer(
            self._connection,
            self._settings,
            backpressure=self._backpressure,
            handle=self._handle,
            together=None if self._together is None else self._handle_together,
            for_the_past=True,
        )
        began = time.monotonic()
        say_at = began + _SAY_SECONDS
        try:
            await consumer.open(after=start - 1)
            self._total = min(consumer.unread_at_start or 0, self._place - start + 1)
            while not self._passed and not await self._nothing_left(consumer):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _LOOK_SECONDS)
                self._wake.clear()
                cut = consumer.cut()
                if cut is not None and cut.position - consumer.acknowledged >= self._acknowledge_after:
                    # The server stops delivering when too much is not acknowledged.
                    await consumer.acknowledge(cut)
                if time.monotonic() >= say_at:
                    say_at += _SAY_SECONDS
                    rate = self._count / (time.monotonic() - began)
                    _log.info("%s %.0f a second.", self.progress, rate)
        finally:
            await consumer.close()
        # The server must have dropped these requests before another pull is opened.
        await self._connection.settle()

    async def _nothing_left(self, consumer: Consumer) -> bool:
        """The message at the place may be gone: whether the stream has none that is still to come."""
        if consumer.position >= self._place:
            return True
        with contextlib.suppress(TimeoutError, NatsError):
            info = await self._connection.jetstream().consumer_info(self._stream, self._settings.consumer)
            delivered = info.delivered.stream_seq if info.delivered else 0
            return consumer.is_reading and not info.num_pending and consumer.position >= delivered
        return False

    def _handle(self, message: Msg, sequence: int, received_ms: int) -> None:
        if sequence > self._place:
            self._pass()
            return
        self._note_read(1, received_ms)
        try:
            self._processor.process(
                message.data,
                content_type(message.headers),
                sequence,
                self._stream,
                message.subject,
                received_ms,
            )
        except Exception:
            _log.exception("the processor failed at sequence %d of stream %s", sequence, self._stream)
        if sequence >= self._place:
            self._pass()

    def _handle_together(self, batch: list[Received]) -> None:
        assert self._together is not None
        known = [received for received in batch if received[1] <= self._place]
        for part in alike(known):
            if len(part) > 1:
                messages = [message for message, _, _ in part]
                payloads = [message.data for message in messages]
                subjects = [message.subject for message in messages]
                _, first, received_ms = part[0]
                if self._together(payloads, first, self._stream, subjects, received_ms) is not None:
                    self._note_read(len(part), received_ms)
                    continue
            for message, sequence, received_ms in part:
                self._handle(message, sequence, received_ms)
        if batch[-1][1] >= self._place:
            self._pass()

    def _note_read(self, count: int, received_ms: int) -> None:
        self._count += count
        self.received_ms = received_ms
        self._taken += count
        if self._taken >= self._acknowledge_after:
            self._taken = 0
            self._wake.set()

    def _pass(self) -> None:
        self._passed = True
        self._wake.set()


def _shown(epoch_ms: int) -> str:
    at = datetime.datetime.fromtimestamp(epoch_ms / 1000, datetime.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
