"""The input stream read back from some time on, beside the service that reads it.

It has a connection and a consumer of its own, named after the service's with ``-fill``: without
acknowledgements, so it takes nothing away and moves nobody's position. The server removes it soon after who
reads is gone. What was read waits here until it is taken, and no more is asked for meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from engine.service.connection import Connection
from engine.service.ending import end
from engine.service.errors import ServiceError
from engine.service.permissions import fill_consumer, needed_to_fill
from engine.service.pull import MOST_BYTES, Pull, Received, tokens_after_time
from engine.service.settings import Settings

_Result = TypeVar("_Result")
_log = logging.getLogger("thenwire.service")
_IDLE_SECONDS: Final = 60.0
"""The server removes the consumer this long after nobody asks it for messages any more."""
_RETRY_SECONDS: Final = (0.1, 0.5, 1.0, 2.0)
_CLOSE_SECONDS: Final = 2.0


class Past:
    """See the head of this file.

    Attributes:
        full: a `Backpressure`: as much waits here as may.
        reopened: how often the consumer had to be made anew.
    """

    def __init__(self, settings: Settings) -> None:
        self.full = False
        self.reopened = 0
        self._settings = settings
        self._stream = settings.input_stream
        self._name = fill_consumer(settings)
        self._connection = Connection(settings)
        # It gives no answers, so whatever it may not publish is a missing permission.
        self._connection.permissions = needed_to_fill(settings)
        self._queue: deque[Received] = deque()
        self._bytes = 0
        self._since = datetime.datetime.fromtimestamp(0, datetime.UTC)
        self._last = 0
        # Messages of the consumer that there is now.
        self._came = 0
        self._pending = 0
        self._first_held = 0
        self._pull: Pull | None = None
        self._reopen = asyncio.Event()
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def open(self, since_ms: int) -> int:
        """Begin to read with what was stored at a time (epoch milliseconds) or later; how many messages that
        are by now. Raises `ServiceError`: it cannot be read; one sentence.
        """
        self._since = datetime.datetime.fromtimestamp(since_ms / 1000, datetime.UTC)
        await self._connection.open()
        self._connection.on_reconnect.append(self._reopen.set)
        self._connection.on_slow_consumer.append(self._reopen.set)
        await self._refusable(self._begin())
        self._watching = asyncio.get_running_loop().create_task(self._watch())
        return self._pending

    @property
    def first_held(self) -> int:
        """The first message that the stream held when reading began."""
        return self._first_held

    @property
    def left(self) -> int:
        """How many messages there were still to come after the last one that came, when that was sent."""
        return self._pending

    def take(self, until: int, most: int) -> list[Received]:
        """The next messages, none behind the sequence ``until``, at most so many, and few if they are large.

        Raises `ServiceError`: no more can be read.
        """
        self._connection.check()
        queue = self._queue
        found: list[Received] = []
        size = 0
        while queue and len(found) < most and size < MOST_BYTES and queue[0][1] <= until:
            received = queue.popleft()
            size += len(received[0].data)
            found.append(received)
        self._bytes -= size
        if self.full and not self._is_full():
            self.full = False
            self._room.set()
        return found

    @property
    def waiting(self) -> bool:
        """Whether a message waits to be taken."""
        return bool(self._queue)

    @property
    def next_sequence(self) -> int:
        """That of the next message that waits; 0 if none does."""
        return self._queue[0][1] if self._queue else 0

    async def news(self, seconds: float) -> None:
        """Return when a message has come, or after so long."""
        self._news.clear()
        if not self._queue:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), seconds)

    async def nothing_left(self) -> bool:
        """Whether the stream has nothing that is still to come: its limits may have removed it. Raises
        `ServiceError`.
        """

        async def ask() -> bool:
            info = await self._connection.jetstream().consumer_info(self._stream, self._name)
            delivered = info.delivered.consumer_seq if info.delivered else 0
            return not info.num_pending and (delivered or 0) <= self._came

        with contextlib.suppress(TimeoutError, NatsError):
            return not self._reopen.is_set() and await self._refusable(ask())
        return False

    async def close(self) -> None:
        """Read no more, and take the consumer away."""
        if self._watching is not None:
            await end(self._watching)
        with contextlib.suppress(TimeoutError, NatsError, ServiceError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                if self._pull is not None:
                    await self._pull.discard()
                if self._connection.client.is_connected:
                    await self._delete()
        await self._connection.close()

    # --- a `Backpressure`

    async def wait_for_room(self) -> None:
        """Return when something has been taken."""
        while self.full:
            self._room.clear()
            await self._room.wait()

    def _is_full(self) -> bool:
        return len(self._queue) >= self._settings.pull_batch or self._bytes >= self._settings.pull_bytes

    def _keep(self, message: Msg, sequence: int, received_ms: int) -> None:
        self._queue.append((message, sequence, received_ms))
        self._bytes += len(message.data)
        self._last = sequence
        self._came += 1
        tokens = message.reply.rsplit(".", tokens_after_time(message.reply))
        self._pending = int(tokens[1])
        self.full = self._is_full()
        self._news.set()

    # --- the consumer

    async def _begin(self) -> None:
        with contextlib.suppress(TimeoutError, NatsError):
            state = (await self._connection.jetstream().stream_info(self._stream)).state
            self._first_held = state.first_seq
        await self._open_with_retries()

    async def _watch(self) -> None:
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._reopen.wait(), self._settings.idle_heartbeat)
                if not self._connection.client.is_connected:
                    await asyncio.sleep(_RETRY_SECONDS[0])
                elif self._reopen.is_set() or (self._pull is not None and self._pull.is_silent()):
                    self.reopened += 1
                    await self._open_with_retries()
        except ServiceError as error:
            self._connection.fail(error)
        except Exception as error:
            _log.exception("while reading back")
            self._connection.fail(ServiceError(f"Reading back failed: {type(error).__name__}: {error}."))

    async def _open_with_retries(self) -> None:
        for pause in (*_RETRY_SECONDS, None):
            try:
                await self._open()
                return
            except (TimeoutError, NatsError) as error:
                self._connection.check()
                if self._connection.client.is_connected and (pause is None or isinstance(error, APIError)):
                    text = error.description if isinstance(error, APIError) else str(error)
                    raise ServiceError(
                        f"Stream {self._stream} cannot be read: {(text or 'no answer').rstrip('.')}."
                    ) from None
                await asyncio.sleep(pause or _RETRY_SECONDS[-1])
        # Disconnected meanwhile: whoever watches tries again.
        self._reopen.set()

    async def _open(self) -> None:
        if self._pull is not None:
            await self._pull.discard()
            self._pull = None
            await self._connection.settle()
        self._reopen.clear()
        await self._delete()
        config = ConsumerConfig(
            name=self._name,
            description="thenwire fills rules with the past",
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=self._since,
            inactive_threshold=_IDLE_SECONDS,
            mem_storage=True,
        )
        last = self._last
        if last:
            config = config.evolve(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_time=None, opt_start_seq=last + 1
            )
        jetstream = self._connection.jetstream()
        info = await jetstream.add_consumer(self._stream, config)
        self._pending = int(info.num_pending or 0)
        self._came = 0
        self._pull = Pull(
            self._connection.client,
            f"{self._connection.api_prefix}.CONSUMER.MSG.NEXT.{self._stream}.{self._name}",
            batch=self._settings.pull_batch,
            batch_bytes=self._settings.pull_bytes,
            heartbeat=self._settings.idle_heartbeat,
            position=last,
            backpressure=self,
            handle=self._keep,
            ask_reopen=self._ask_reopen,
            on_failure=self._on_failure,
        )
        await self._pull.open()

    async def _delete(self) -> None:
        with contextlib.suppress(NotFoundError):
            await self._connection.jetstream().delete_consumer(self._stream, self._name)

    def _ask_reopen(self, reason: str) -> None:
        _log.debug("reading back is begun again: %s", reason)
        self._reopen.set()

    def _on_failure(self, error: BaseException) -> None:
        self._connection.fail(ServiceError(f"Reading back failed: {type(error).__name__}: {error}."))

    async def _refusable(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """What work gives. A missing permission shows as a silent timeout; the error callback knows it."""
        task: asyncio.Future[Any] = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._connection.failed}, return_when=asyncio.FIRST_COMPLETED)
            self._connection.check()
            found: _Result = await task
            return found
        finally:
            await end(task)
