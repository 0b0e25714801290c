"""The source: a durable consumer on the input stream, read in order, each message once while we live.

The server's memory of what was acknowledged (the ack floor) is the only
position that survives us. Whenever a pull is opened (start, reconnect, silence,
gap) the consumer is reset to it first, because a consumer that is simply read
on delivers *new* messages first and the unacknowledged ones only after
``ack_wait``. What comes again after a reset and was already processed is
skipped by its stream sequence.
"""

import asyncio
import contextlib
import datetime
import logging
from collections import deque
from collections.abc import Callable

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo, StreamInfo
from nats.js.errors import NotFoundError

from engine.service.connection import Connection
from engine.service.durable import ensure_consumer
from engine.service.ending import end
from engine.service.errors import ServiceError
from engine.service.pull import Backpressure, Pull, Received
from engine.service.settings import Settings

_log = logging.getLogger("thenwire.service")
_ACK_TIMEOUT_SECONDS = 5.0
_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
_GAPS_ALLOWED = 10
_GAP_PERIOD_SECONDS = 60.0


class Cut(msgspec.Struct, frozen=True):
    """A point in the input up to which everything can be acknowledged together."""

    sequence: int
    """Stream sequence of the last message before the cut in this pull."""
    reply: str
    """Its reply subject."""
    opening: int
    position: int
    """Stream sequence of the last message processed; above ``sequence`` while messages come again."""


class Consumer:
    """See the head of this file.

    ``handle`` gets each message, its stream sequence and the time it was
    stored (epoch milliseconds). It is called synchronously and in order; and in its place
    ``together``, if given, with several of them (`Pull`). ``for_the_past``: what retention removes before it
    is read is no loss.
    """

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        *,
        backpressure: Backpressure,
        handle: Callable[[Msg, int, int], None],
        together: Callable[[list[Received]], None] | None = None,
        for_the_past: bool = False,
    ) -> None:
        self.acknowledged = 0
        """Stream sequence up to which the server has confirmed our acknowledgement."""
        self.reopened = 0
        self.lost = 0
        """Messages that retention removed from the stream before they were read."""
        self.unread_at_start: int | None = None
        """How many messages there were to read when reading began; None before."""
        self._connection = connection
        self._settings = settings
        self._backpressure = backpressure
        self._handle = handle
        self._together = together
        self._for_the_past = for_the_past
        self._stream = settings.input_stream
        self._name = settings.consumer
        self._pull: Pull | None = None
        self._position = 0
        self._skipped = 0
        self._opening = 0
        self._floor_checked = 0
        self._own_position = False
        self._stream_created: datetime.datetime | None = None
        self._gaps: deque[float] = deque(maxlen=_GAPS_ALLOWED)
        self._reopen = asyncio.Event()
        self._reason = ""
        self._lock = asyncio.Lock()
        self._stopping = False
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def position(self) -> int:
        """Stream sequence of the last message processed."""
        return self._pull.position if self._pull is not None else self._position

    @property
    def skipped(self) -> int:
        """Messages that came again after they had been processed."""
        return self._skipped + (self._pull.skipped if self._pull is not None else 0)

    @property
    def is_reading(self) -> bool:
        """Whether the source is open and the server shows that it is there."""
        pull = self._pull
        return pull is not None and not self._reopen.is_set() and not pull.is_silent()

    @property
    def last_reply(self) -> str:
        """The acknowledgement subject of the last message; empty before the first."""
        return self._pull.last_reply if self._pull is not None else ""

    async def stream(self) -> StreamInfo:
        """The input stream as it is now. Raises `ServiceError`."""
        try:
            return await self._stream_info()
        except (TimeoutError, NatsError) as error:
            raise ServiceError(f"Stream {self._stream} cannot be read: {error}.") from None

    async def open(self, *, after: int | None = None) -> None:
        """Create or check the durable consumer and start to read. Raises `ServiceError`.

        Reading begins after the stream sequence ``after``, whatever the server remembers; None leaves it to
        the server's memory of what was acknowledged.
        """
        if after is not None:
            self._own_position = True
            self._position = self.acknowledged = after
        try:
            await self._open_pull()
        except (TimeoutError, NatsError) as error:
            raise ServiceError(f"Stream {self._stream} cannot be read: {error}.") from None
        self._connection.on_reconnect.append(lambda: self._ask_reopen("reconnected"))
        self._connection.on_slow_consumer.append(lambda: self._ask_reopen("the client dropped a message"))
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    async def finish(self) -> None:
        """Stop pulling, and return when what was delivered is processed. `acknowledge` still works."""
        self._stopping = True
        await self._end_supervisor()
        if self._pull is not None:
            with contextlib.suppress(NatsError):
                await self._pull.finish()

    async def close(self) -> None:
        """Stop at once; what is queued stays unacknowledged."""
        self._stopping = True
        await self._end_supervisor()
        if self._pull is not None:
            with contextlib.suppress(NatsError):
                await self._pull.discard()

    def cut(self) -> Cut | None:
        """The point right after the last processed message; None when nothing new can be acknowledged."""
        position = self.position
        if position <= self.acknowledged:
            return None
        pull = self._pull
        if pull is None or not pull.last_reply:
            return Cut(sequence=0, reply="", opening=-1, position=position)
        return Cut(
            sequence=pull.last_sequence, reply=pull.last_reply, opening=self._opening, position=position
        )

    async def acknowledge(self, cut: Cut, *, final: bool = False) -> bool:
        """Acknowledge everything up to ``cut`` and wait for the server to confirm.

        False when it was not confirmed, or the pull was opened again since the cut; a later cut makes up for
        it. ``final`` says that there will be none, and `finish` was called. Call it only when all that the
        messages before the cut caused is safe.
        """
        async with self._lock:
            # A delivery number from before a reset would confuse the server.
            if cut.opening == self._opening and cut.sequence and await self._request_ack(cut):
                self.acknowledged = max(self.acknowledged, cut.sequence)
                if self.acknowledged >= cut.position or not final:
                    return True
            if not final:
                return False
            # A server that was restarted ignores acknowledgements of what it does not remember having
            # delivered. Nothing is pulled any more, so the floor can be set directly.
            try:
                await self._connection.jetstream().reset_consumer(
                    self._stream, self._name, seq=cut.position + 1
                )
            except (NatsError, TimeoutError):
                return False
            self.acknowledged = cut.position
            return True

    async def _request_ack(self, cut: Cut) -> bool:
        """Send the acknowledgement and wait for the answer, unless the pull must be opened again."""
        client = self._connection.client
        asking = asyncio.ensure_future(client.request(cut.reply, b"", timeout=_ACK_TIMEOUT_SECONDS))
        interrupted = asyncio.ensure_future(self._reopen.wait())
        try:
            await asyncio.wait([asking, interrupted], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return False
            asking.result()
            return self._floor_checked == self._opening or await self._check_floor(cut)
        except (NatsError, TimeoutError):
            return False
        finally:
            interrupted.cancel()
            asking.cancel()

    async def _check_floor(self, cut: Cut) -> bool:
        """Once after each reset, see that acknowledgements move the floor.

        Acknowledgements are applied asynchronously: one from before a reset can arrive after it and leave a
        floor above all our delivery numbers, and then ours would be ignored until the server stops sending.
        """
        info = await self._connection.jetstream().consumer_info(self._stream, self._name)
        if info.ack_floor is None or info.ack_floor.stream_seq < cut.sequence:
            self._ask_reopen("the acknowledgement had no effect")
            return False
        self._floor_checked = self._opening
        return True

    def _ask_reopen(self, reason: str) -> None:
        if reason.startswith("gap"):
            self._note_gap()
        self._reason = reason
        self._reopen.set()

    def _note_gap(self) -> None:
        now = asyncio.get_running_loop().time()
        self._gaps.append(now)
        if len(self._gaps) == _GAPS_ALLOWED and now - self._gaps[0] < _GAP_PERIOD_SECONDS:
            self._connection.fail(
                ServiceError(
                    f"Messages for consumer {self._name} of stream {self._stream} go missing again and "
                    "again: does another client read from it? Give each thenwire a consumer of its own."
                )
            )

    async def _supervise(self) -> None:
        try:
            await self._watch()
        except Exception as error:
            _log.exception("while watching the source")
            self._connection.fail(ServiceError(f"The source failed: {type(error).__name__}: {error}."))

    async def _watch(self) -> None:
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reopen.wait(), self._settings.idle_heartbeat)
            if not self._connection.client.is_connected:
                # The reconnect will ask again; the pause keeps a request made meanwhile from spinning here.
                await asyncio.sleep(_RETRY_SECONDS[0])
                continue
            if not self._reopen.is_set():
                if self._pull is None or not self._pull.is_silent():
                    continue
                self._reason = "no sign of life from the server"
            self._reopen.clear()
            await self._reopen_with_retries()

    async def _reopen_with_retries(self) -> None:
        _log.warning("opening the source again: %s", self._reason)
        self.reopened += 1
        attempt = 0
        while not self._stopping and self._connection.client.is_connected:
            try:
                await self._open_pull()
                return
            except ServiceError as error:
                self._connection.fail(error)
                return
            except (TimeoutError, NatsError) as error:
                pause = _RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]
                attempt += 1
                _log.warning("the source cannot be opened yet: %s", error)
                await asyncio.sleep(pause)
        # Disconnected meanwhile: this opening did not happen, so it must not be forgotten.
        self._reopen.set()

    async def _open_pull(self) -> None:
        async with self._lock:
            client = self._connection.client
            if self._pull is not None:
                await self._pull.discard()
                # From here on its delivery numbers mean nothing, even if this opening is interrupted.
                self._leave_pull()
                self._opening += 1
                # The server must have dropped the old requests before it may deliver again.
                await self._connection.settle()
            jetstream = self._connection.jetstream()
            stream = await self._stream_info()
            consumer = await ensure_consumer(jetstream, self._settings)
            floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
            # The server can know less than we do: its own state survives a crash only in part. And who keeps
            # a state must have every message after it, even one that was acknowledged.
            start = (self.acknowledged if self._own_position else max(floor, self.acknowledged)) + 1
            self._note_lost(stream, consumer, start)
            answer = await jetstream.reset_consumer(self._stream, self._name, seq=start)
            if self.unread_at_start is None:
                self.unread_at_start = answer.info.num_pending or 0
            self._opening += 1
            self.acknowledged = start - 1
            self._position = max(self._position, start - 1)
            self._pull = Pull(
                client,
                f"{self._connection.api_prefix}.CONSUMER.MSG.NEXT.{self._stream}.{self._name}",
                batch=self._settings.pull_batch,
                batch_bytes=self._settings.pull_bytes,
                heartbeat=self._settings.idle_heartbeat,
                backpressure=self._backpressure,
                position=self._position,
                handle=self._handle,
                ask_reopen=self._ask_reopen,
                on_failure=self._on_failure,
                together=self._together,
            )
            await self._pull.open()
            _log.info("reading stream %s from sequence %d", self._stream, start)

    def _on_failure(self, error: BaseException) -> None:
        self._connection.fail(ServiceError(f"Processing failed: {type(error).__name__}: {error}."))

    def _leave_pull(self) -> None:
        if self._pull is not None:
            self._position = self._pull.position
            self._skipped += self._pull.skipped
            self._pull = None

    async def _stream_info(self) -> StreamInfo:
        try:
            info = await self._connection.jetstream().stream_info(self._stream)
        except NotFoundError:
            raise ServiceError(f"There is no stream {self._stream} to read from.") from None
        if self._stream_created is None:
            self._stream_created = info.created
        elif info.created != self._stream_created:
            # Its sequences start anew, and ours would make us skip all of them.
            raise ServiceError(f"Stream {self._stream} was deleted and created again; start thenwire again.")
        if info.state.last_seq < self._position:
            # Sequences would be given a second time, and what has them would be skipped as known.
            raise ServiceError(
                f"Stream {self._stream} ends at {info.state.last_seq}, but {self._position} was read "
                "already: it has lost its end or is an older copy; start thenwire again."
            )
        return info

    def _note_lost(self, stream: StreamInfo, consumer: ConsumerInfo, start: int) -> None:
        """Count what retention took away from a consumer that had begun to read."""
        next_needed = max(start, self._position + 1)
        delivered = consumer.delivered.stream_seq if consumer.delivered else 0
        begun = (self._position > 0 or delivered > 0) and not self._for_the_past
        first = stream.state.first_seq
        if begun and first > next_needed:
            self.lost += first - next_needed
            self._position = first - 1
            _log.error(
                "DATA LOSS: stream %s begins at %d, but %d was next; %d messages were removed unread",
                *(self._stream, first, next_needed, first - next_needed),
            )

    async def _end_supervisor(self) -> None:
        if self._supervisor is not None:
            await end(self._supervisor)
            self._supervisor = None
