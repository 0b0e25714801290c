"""Glue: consume, process, publish, wait for the stream's acknowledgements, store the state, acknowledge the
input.

The order of the last four is what makes an alert impossible to lose: an input
message is acknowledged only when everything it caused is stored, and so is the
state after it. After a crash the state of the last checkpoint is taken up, the
messages after it are processed again, and what they cause a second time is
dropped by its message id.
"""

import asyncio
import contextlib
import inspect
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
from nats.aio.msg import Msg
from nats.js.api import StreamInfo

from engine.service.changes import Companion
from engine.service.checkpoints.barrier import Barrier
from engine.service.checkpoints.model import Stateful, StateStore
from engine.service.checkpoints.resume import created, resume
from engine.service.connection import Connection
from engine.service.consumer import Consumer
from engine.service.ending import end
from engine.service.errors import ServiceError
from engine.service.filling import Filling
from engine.service.lists import keep_fresh
from engine.service.message import content_type
from engine.service.observer import CheckpointFacts, Observer, Running
from engine.service.operations.tracing import with_trace
from engine.service.processor import Outgoing, ProcessesTogether, Processor
from engine.service.publisher import Publisher
from engine.service.pull import Received, alike
from engine.service.settings import Settings
from engine.service.streams import ensure_streams
from engine.service.subjects import dead_letter
from engine.service.ticks import Ticker, Waits

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
    checkpoints: int = 0
    """Written; the first one that failed and was tried again counts once."""
    checkpoint_failures: int = 0
    """Attempts to write one that failed."""
    last_sequence_stored: int = 0
    """Of the last message that is in the stored state."""
    longest_hold_ms: float = 0.0
    """The longest that a checkpoint has held the event loop at a time."""


async def run(
    settings: Settings,
    processor: Processor,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[], None] | None = None,
    observer: Observer | None = None,
    store: StateStore | None = None,
    fresh: bool = False,
    warm_ms: int | None = None,
    companions: Sequence[Companion] = (),
) -> RunReport:
    """Run until ``stop`` is set, then finish what is queued, acknowledge it and close.

    ``on_ready`` is called once the input is being read; ``observer`` looks on. With a ``store`` the
    processor, which must be `Stateful`, goes on from the state in it, or with ``fresh`` from none; without
    one, state lives no longer than this run. If it begins from none, it is first filled with ``warm_ms``
    milliseconds of the past (``engine.service.filling``). ``companions`` run beside it and may change what
    events mean.
    Raises `ServiceError` with one sentence when the service cannot start or go on; what was not
    acknowledged is processed again by the next run.
    """
    connection = Connection(settings)
    session = _Session(connection, settings, processor, store, fresh, warm_ms, companions)
    if observer is not None:
        try:
            await observer.begin(session.running(stop))
        except BaseException:
            await observer.end()
            raise
    starting = asyncio.ensure_future(session.open())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return session.report()
        starting.result()
        if observer is not None:
            await observer.reading()
        if on_ready is not None:
            on_ready()
        await session.work(stopping)
        return session.report()
    finally:
        await end(starting)
        await end(stopping)
        if observer is not None:
            await observer.end()
        await session.close()
        await connection.close()


class _Session:
    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        processor: Processor,
        store: StateStore | None,
        fresh: bool,
        warm_ms: int | None,
        companions: Sequence[Companion],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._processor = processor
        self._process = processor.process
        self._process_together = (
            processor.process_together if isinstance(processor, ProcessesTogether) else None
        )
        self._stream = settings.input_stream
        self._messages = 0
        self._failed = 0
        # The server stops delivering at max_ack_pending; well before that a cut does not wait for its time.
        self._commit_after = settings.max_ack_pending // 4
        self._commit_at = self._commit_after
        self._commit_now = asyncio.Event()
        self._finishing = False
        self._fresh = fresh
        self._warm_ms = warm_ms
        self._companions = companions
        self._received_ms = 0
        self._changes: deque[tuple[Callable[[int], Any], asyncio.Future[Any]]] = deque()
        # Whether what a run before may have read already is still to be read.
        self._reading_again = False
        self._publisher = Publisher(
            connection,
            window=settings.publish_window,
            timeout=settings.publish_timeout,
            replace=_replace_refused,
        )
        self._consumer = Consumer(
            connection,
            settings,
            backpressure=self._publisher,
            handle=self._handle,
            together=None if self._process_together is None else self._handle_together,
        )
        self._filling = Filling(connection, settings, processor, self._publisher)
        self._store = store
        self._barrier: Barrier | None = None
        if store is not None:
            assert isinstance(processor, Stateful)
            self._barrier = Barrier(store, processor, self._publisher, stream=settings.input_stream)

    async def open(self) -> None:
        await self._connection.open()
        work = asyncio.ensure_future(self._open())
        try:
            # A missing permission shows as a silent timeout; the error callback knows the reason sooner.
            await asyncio.wait({work, self._connection.failed}, return_when=asyncio.FIRST_COMPLETED)
            self._connection.check()
            await work
        except ServiceError:
            # The reason may arrive just after the timeout that it caused.
            self._connection.check()
            raise
        finally:
            await end(work)

    async def work(self, stopping: "asyncio.Future[Any]") -> None:
        committing = asyncio.ensure_future(self._commit_regularly())
        beside = [
            asyncio.ensure_future(self._beside(keep_fresh(self._processor, self.change))),
            *(asyncio.ensure_future(self._beside(start(self.change))) for start in self._companions),
        ]
        if isinstance(self._processor, Waits):
            ticker = Ticker(
                self._connection, self._settings, self._processor, lambda: self._consumer.position
            )
            beside.append(asyncio.ensure_future(self._beside(ticker.run())))
        try:
            await asyncio.wait(
                [committing, stopping, self._connection.failed], return_when=asyncio.FIRST_COMPLETED
            )
            self._connection.check()
            if committing.done():
                committing.result()
            await self._finish(committing)
        finally:
            for task in beside:
                await end(task)
            await end(committing)

    async def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever fails beside the service must be said, and ends it: it is part of what was asked for."""
        try:
            await work
        except ServiceError as error:
            self._connection.fail(error)
        except Exception as error:
            _log.exception("beside the service")
            self._connection.fail(ServiceError(f"The service failed: {type(error).__name__}: {error}."))

    async def change(self, apply: Callable[[int], Any]) -> Any:
        """See ``engine.service.changes.Change``."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._changes.append((apply, future))
        self._commit_now.set()
        return await future

    async def close(self) -> None:
        await self._consumer.close()
        await self._publisher.close()
        while self._changes:
            self._changes.popleft()[1].cancel()
        if self._store is not None:
            await self._store.close()

    async def _open(self) -> None:
        await ensure_streams(self._connection.jetstream(), self._settings)
        await self._publisher.open()
        stream = await self._consumer.stream()
        if self._barrier is None:
            await self._fill(stream, None)
            await self._consumer.open()
            return
        assert self._store is not None
        assert isinstance(self._processor, Stateful)
        found = await resume(
            *(self._store, self._processor, self._connection, stream, self._settings), fresh=self._fresh
        )
        self._barrier.begin(found.mark, created(stream))
        if found.mark is not None:
            self._received_ms = found.mark.received_ms
            self._reading_again = True
            if self._warm_ms is not None:
                _log.info("the service goes on from its state, so nothing is filled (--warm)")
            await self._filling.done()
            after = found.after
        else:
            after = await self._fill(stream, found.after)
        await self._consumer.open(after=after)

    async def _fill(self, stream: StreamInfo, after: int | None) -> int | None:
        """Have rules without a past get to know it; where to go on from, None if only the server knows."""
        place = await self._filling.fill(stream, after, self._warm_ms)
        if place is None:
            return after
        self._received_ms = self._filling.received_ms
        if self._barrier is not None:
            await self._barrier.store(place, self._received_ms)
        await self._filling.done()
        return place

    def _handle(self, message: Msg, sequence: int, received_ms: int) -> None:
        stream = self._stream
        self._received_ms = received_ms
        try:
            outgoing = self._process(
                message.data,
                content_type(message.headers) if message.headers else None,
                sequence,
                stream,
                message.subject,
                received_ms,
            )
        except Exception as error:
            outgoing = [self._failure(error, message, sequence)]
        if outgoing and message.headers:
            outgoing = with_trace(outgoing, message.headers)
        for one in outgoing:
            self._publisher.enqueue(one)
        self._messages += 1
        if sequence >= self._commit_at:
            self._commit_now.set()

    def _failure(self, error: Exception, message: Msg, sequence: int) -> Outgoing:
        """A processor never raises; if it does, the event must not vanish and the next ones must go on."""
        self._failed += 1
        _log.error("the processor failed at sequence %d of stream %s", sequence, self._stream, exc_info=error)
        return dead_letter(
            reason="processor_error",
            detail=f"{type(error).__name__}: {error}",
            payload=message.data,
            stream=self._stream,
            sequence=sequence,
            subject=message.subject,
        )

    def _handle_together(self, batch: list[Received]) -> None:
        for part in alike(batch):
            if len(part) == 1 or not self._took(part):
                for message, sequence, received_ms in part:
                    self._handle(message, sequence, received_ms)

    def _took(self, part: list[Received]) -> bool:
        """Whether the processor has taken these messages in together."""
        assert self._process_together is not None
        first, last, received_ms = part[0][1], part[-1][1], part[0][2]
        payloads = [message.data for message, _, _ in part]
        subjects = [message.subject for message, _, _ in part]
        self._received_ms = received_ms
        try:
            outgoing = self._process_together(payloads, first, self._stream, subjects, received_ms)
        except Exception as error:
            outgoing = [self._failure(error, message, sequence) for message, sequence, _ in part]
        if outgoing is None:
            return False
        for one in outgoing:
            self._publisher.enqueue(one)
        self._messages += len(part)
        if last >= self._commit_at:
            self._commit_now.set()
        return True

    async def _commit_regularly(self) -> None:
        interval = self._settings.commit_interval
        if self._barrier is not None:
            interval = self._settings.checkpoint_interval
        due = asyncio.get_running_loop().time() + interval
        while not self._finishing:
            now = asyncio.get_running_loop().time()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._commit_now.wait(), max(0.0, due - now))
            self._commit_now.clear()
            if not self._may_change():
                # Changes that wait for their place must not make a checkpoint of every wake-up.
                await self._commit()
            elif self._changes:
                await self._apply_changes()
            else:
                await self._commit()
            due = asyncio.get_running_loop().time() + interval

    async def _commit(self, *, final: bool = False, even_if_unchanged: bool = False) -> bool:
        """Store and acknowledge all that is processed; False if the server did not confirm."""
        cut = self._consumer.cut()
        position = self._consumer.position
        self._commit_at = position + self._commit_after
        barrier = self._barrier
        if barrier is None:
            if cut is None:
                return True
            await self._publisher.settled(self._publisher.last_number)
        elif position > barrier.stored or even_if_unchanged or (final and not barrier.final):
            await barrier.store(position, self._received_ms, final=final)
        return cut is None or await self._consumer.acknowledge(cut, final=final)

    def _may_change(self) -> bool:
        """Whether what a run before can have read is behind us."""
        if not self._reading_again:
            return True
        if self._messages < (self._consumer.unread_at_start or 0):
            return False
        self._reading_again = False
        assert isinstance(self._processor, Stateful)
        processor = self._processor
        self._changes.appendleft(
            (lambda _: processor.renew_lists(), asyncio.get_running_loop().create_future())
        )
        return True

    async def _apply_changes(self) -> None:
        """All changes that wait, at one place of the input, which stands still until they are stored."""
        applied: list[tuple[asyncio.Future[Any], Any]] = []
        self._publisher.hold()
        try:
            while self._changes:
                apply, future = self._changes.popleft()
                if future.cancelled():
                    continue
                try:
                    result = apply(self._consumer.position)
                    if inspect.isawaitable(result):
                        # Beside the loop, which must not be held: the input is.
                        result = await result
                    applied.append((future, result))
                except Exception as error:
                    future.set_exception(error)
            await self._commit(even_if_unchanged=True)
        finally:
            self._publisher.release()
        for future, result in applied:
            if not future.cancelled():
                future.set_result(result)

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

    def running(self, stop: asyncio.Event) -> Running:
        """The parts, for an observer."""
        return Running(
            settings=self._settings,
            processor=self._processor,
            connection=self._connection,
            consumer=self._consumer,
            publisher=self._publisher,
            stop=stop,
            report=self.report,
            checkpoint=self._checkpoint_facts,
            filling=lambda: self._filling.progress,
        )

    def _checkpoint_facts(self) -> CheckpointFacts | None:
        barrier = self._barrier
        if barrier is None:
            return None
        return CheckpointFacts(
            committed=barrier.committed,
            committed_at=barrier.committed_at,
            bytes=barrier.bytes,
            seconds=barrier.seconds,
            failures=barrier.failures,
            problem=barrier.problem,
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
            checkpoints=0 if self._barrier is None else self._barrier.committed,
            checkpoint_failures=0 if self._barrier is None else self._barrier.failures,
            last_sequence_stored=0 if self._barrier is None else self._barrier.stored,
            longest_hold_ms=0.0 if self._barrier is None else self._barrier.longest_hold * 1000,
        )


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
