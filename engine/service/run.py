"""Glue: consume, process, publish, wait for the stream's acknowledgements, acknowledge the input.

The order of the last three is what makes an alert impossible to lose: an input
message is acknowledged only when everything it caused is stored. After a crash
the messages since the last acknowledgement are processed again, and what they
cause is dropped by its message id.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from nats.aio.msg import Msg

from engine.service.connection import Connection
from engine.service.consumer import Consumer
from engine.service.errors import ServiceError
from engine.service.lists import keep_fresh
from engine.service.processor import Outgoing, Processor
from engine.service.publisher import Publisher
from engine.service.settings import Settings
from engine.service.streams import ensure_streams
from engine.service.subjects import dead_letter

_log = logging.getLogger("thenwire.service")
_REFUSED_PAYLOAD = 1024
_COMMIT_RETRY_SECONDS = 0.1
_REFUSED_PREFIX = "refused:"


class RunReport(msgspec.Struct, frozen=True):
    """What one run did, in messages; sequences are stream sequences of the input."""

    messages: int
    """Processed, without those that came again and were skipped."""
    published: dict[str, int]
    """Stored, by the first token of the subject (``alerts``, ``dlq``); duplicates included."""
    duplicates: int
    """Of those, how many JetStream already had."""
    resent: int
    """Published again because no answer came."""
    refused: int
    """Dropped because no stream takes a message of that size, not even its dead letter."""
    failed: int
    """Messages at which the processor raised; each became a dead letter ``processor_error``."""
    skipped: int
    """Delivered again by the server and recognised."""
    reopened: int
    """How often the pull was opened again."""
    lost: int
    """Removed by the stream's retention before they were read."""
    last_sequence_processed: int
    last_sequence_acked: int


async def run(
    settings: Settings,
    processor: Processor,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[], None] | None = None,
) -> RunReport:
    """Run until ``stop`` is set, then finish what is queued, acknowledge it and close.

    ``on_ready`` is called once the input is being read. Raises `ServiceError`
    with one sentence when the service cannot start or go on; what was not
    acknowledged is processed again by the next run.
    """
    connection = Connection(settings)
    session = _Session(connection, settings, processor)
    starting = asyncio.ensure_future(session.open())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return session.report()
        starting.result()
        if on_ready is not None:
            on_ready()
        await session.work(stopping)
        return session.report()
    finally:
        await _end(starting)
        await _end(stopping)
        await session.close()
        await connection.close()


class _Session:
    def __init__(self, connection: Connection, settings: Settings, processor: Processor) -> None:
        self._connection = connection
        self._settings = settings
        self._processor = processor
        self._process = processor.process
        self._stream = settings.input_stream
        self._messages = 0
        self._failed = 0
        # The server stops delivering at max_ack_pending; well before that a cut does not wait for its time.
        self._commit_after = settings.max_ack_pending // 4
        self._commit_at = self._commit_after
        self._commit_now = asyncio.Event()
        self._finishing = False
        self._publisher = Publisher(
            connection,
            window=settings.publish_window,
            timeout=settings.publish_timeout,
            replace=_replace_refused,
        )
        self._consumer = Consumer(connection, settings, backpressure=self._publisher, handle=self._handle)

    async def open(self) -> None:
        await self._connection.open()
        work = asyncio.ensure_future(self._open())
        try:
            # A missing permission shows as a silent timeout; the error callback knows the reason sooner.
            await asyncio.wait({work, self._connection.failed}, return_when=asyncio.FIRST_COMPLETED)
            if self._connection.failed.done():
                self._connection.failed.result()
            await work
        except ServiceError:
            # The reason may arrive just after the timeout that it caused.
            if self._connection.failed.done():
                self._connection.failed.result()
            raise
        finally:
            await _end(work)

    async def work(self, stopping: "asyncio.Future[Any]") -> None:
        committing = asyncio.ensure_future(self._commit_regularly())
        refreshing = asyncio.ensure_future(keep_fresh(self._processor))
        try:
            await asyncio.wait(
                [committing, stopping, self._connection.failed], return_when=asyncio.FIRST_COMPLETED
            )
            if self._connection.failed.done():
                self._connection.failed.result()
            if committing.done():
                committing.result()
            await self._finish(committing)
        finally:
            await _end(refreshing)
            await _end(committing)

    async def close(self) -> None:
        await self._consumer.close()
        await self._publisher.close()

    async def _open(self) -> None:
        await ensure_streams(self._connection.jetstream(), self._settings)
        await self._publisher.open()
        await self._consumer.open()

    def _handle(self, message: Msg, sequence: int, received_ms: int) -> None:
        stream = self._stream
        try:
            outgoing = self._process(
                message.data,
                _content_type(message.headers) if message.headers else None,
                sequence,
                stream,
                message.subject,
                received_ms,
            )
        except Exception as error:
            # A processor never raises; if it does, the event must not vanish and the next ones must go on.
            self._failed += 1
            _log.exception("the processor failed at sequence %d of stream %s", sequence, stream)
            outgoing = [
                dead_letter(
                    reason="processor_error",
                    detail=f"{type(error).__name__}: {error}",
                    payload=message.data,
                    stream=stream,
                    sequence=sequence,
                    subject=message.subject,
                )
            ]
        for one in outgoing:
            self._publisher.enqueue(one)
        self._messages += 1
        if sequence >= self._commit_at:
            self._commit_now.set()

    async def _commit_regularly(self) -> None:
        while not self._finishing:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._commit_now.wait(), self._settings.commit_interval)
            self._commit_now.clear()
            await self._commit()

    async def _commit(self, *, final: bool = False) -> bool:
        """Acknowledge all that is processed; False if it could not be confirmed."""
        cut = self._consumer.cut()
        if cut is None:
            return True
        last_caused = self._publisher.last_number
        self._commit_at = cut.position + self._commit_after
        # Between these two lines belongs whatever else must be safe before the input may be forgotten.
        await self._publisher.settled(last_caused)
        return await self._consumer.acknowledge(cut, final=final)

    async def _finish(self, committing: asyncio.Future[None]) -> None:
        _log.info("stopping")
        try:
            async with asyncio.timeout(self._settings.stop_timeout):
                await self._consumer.finish()
                self._finishing = True
                self._commit_now.set()
                await committing
                confirmed = await self._commit(final=True)
                while not confirmed:
                    # Disconnected, or the server is busy.
                    await asyncio.sleep(_COMMIT_RETRY_SECONDS)
                    confirmed = await self._commit(final=True)
        except TimeoutError:
            _log.warning(
                "not finished within %g s: %d published messages without an answer; what is not acknowledged "
                "is processed again at the next start",
                *(self._settings.stop_timeout, self._publisher.unsettled),
            )

    def report(self) -> RunReport:
        return RunReport(
            messages=self._messages,
            published=dict(self._publisher.stored),
            duplicates=self._publisher.duplicates,
            resent=self._publisher.resent,
            refused=self._publisher.refused,
            failed=self._failed,
            skipped=self._consumer.skipped,
            reopened=self._consumer.reopened,
            lost=self._consumer.lost,
            last_sequence_processed=self._consumer.position,
            last_sequence_acked=self._consumer.acknowledged,
        )


def _content_type(headers: dict[str, str]) -> str | None:
    exact = headers.get("Content-Type")
    if exact is not None:
        return exact
    return next((value for name, value in headers.items() if name.lower() == "content-type"), None)


def _replace_refused(message: Outgoing, reason: str) -> Outgoing | None:
    """A small dead letter in place of a message that is too large to be stored."""
    if message.message_id.startswith(_REFUSED_PREFIX):
        return None
    letter = dead_letter(
        reason="too_large",
        detail=f"A message of {len(message.payload)} bytes for {message.subject} was refused: {reason}.",
        payload=message.payload[:_REFUSED_PAYLOAD],
        stream="",
        sequence=0,
        subject=message.subject,
    )
    return msgspec.structs.replace(letter, message_id=_REFUSED_PREFIX + message.message_id)


async def _end(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
