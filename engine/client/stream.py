"""The iterator over alerts: a bounded queue before the subscriber, and what is acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

from nats.aio.msg import Msg

from engine.client.choice import Choice
from engine.client.received import Received, UnreadableAlertError, decode
from engine.client.source import Plan, Source, Start
from engine.service.settings import Settings

_QUEUE = 500
_PASS_OVER_EVERY = 256


class AlertStream(AsyncIterator[Received]):
    """Alerts as they come; made by `engine.client.alerts`. Use it with ``async with``, then ``async for``.

    Ends with `ServiceError` when the connection cannot go on. A message that is no alert raises
    `UnreadableAlertError`, after which the iteration can go on, unless ``on_unreadable`` takes it.
    """

    def __init__(
        self,
        settings: Settings,
        choice: Choice,
        *,
        durable: str | None,
        start: Start,
        follow: bool,
        on_unreadable: Callable[[UnreadableAlertError], None] | None,
    ) -> None:
        self.unreadable = 0
        """Messages that were no alert."""
        self._settings = settings
        self._choice = choice
        self._durable = durable
        self._start = start
        self._follow = follow
        self._on_unreadable = on_unreadable
        self._source: Source | None = None
        self._queue: deque[tuple[Msg, int, int]] = deque()
        self._arrival = asyncio.Event()
        self._room = asyncio.Event()
        self.full = False
        """Whether the subscriber is behind, so that the server is not asked for more."""
        # Sequences: taken in from the server, given to the subscriber.
        self._taken = 0
        self._given = 0
        # Reply subjects of this opening for what is not acknowledged, oldest first.
        self._replies: dict[int, str] = {}
        self._opening = 0
        self._passed = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def reopened(self) -> int:
        """How often the stream was opened again: reconnects, and silences of the server."""
        return max(0, self._source.opening - 1) if self._source else 0

    @property
    def lost(self) -> int:
        """How many alerts, at most, the limits of the stream removed before they were read."""
        return self._source.lost if self._source else 0

    async def __aenter__(self) -> AlertStream:
        plan = Plan(self._settings.alerts_stream, self._choice.subject, self._durable, self._start)
        self._source = Source(self._settings, plan, self, self._take_in)
        try:
            await self._source.open()
        except BaseException:
            await self._source.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        source = self._opened()
        try:
            self._pass_over()
            if self._tasks:
                await asyncio.wait(self._tasks)
            if self._durable is not None and source.acknowledged and not source.connection.failed.done():
                last = max((n for n in self._replies if n <= source.acknowledged), default=None)
                if last is not None:
                    await source.acknowledge(self._replies[last], last, sure=True)
        finally:
            await source.close()

    def __aiter__(self) -> AlertStream:
        return self

    async def __anext__(self) -> Received:
        source = self._opened()
        while True:
            while self._queue:
                given = self._give(*self._queue.popleft())
                if given is not None:
                    return given
            if not self._follow and (self._taken >= source.target or source.arrived >= source.expected):
                raise StopAsyncIteration
            if source.connection.failed.done():
                source.connection.failed.result()
            self._arrival.clear()
            arrival: asyncio.Future[Any] = asyncio.ensure_future(self._arrival.wait())
            try:
                await asyncio.wait({arrival, source.connection.failed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                arrival.cancel()

    async def wait_for_room(self) -> None:
        """Return when the subscriber has caught up enough for the source to go on."""
        while self.full:
            self._room.clear()
            await self._room.wait()

    def _opened(self) -> Source:
        if self._source is None:
            raise RuntimeError("open the stream first: async with engine.client.alerts(...) as stream")
        return self._source

    def _take_in(self, message: Msg, sequence: int, stored_ms: int) -> None:
        """Called by the source, in order; what comes again after a reopening is known by its sequence."""
        source = self._opened()
        if self._opening != source.opening:
            self._opening = source.opening
            self._replies.clear()
        if self._durable is not None:
            self._replies[sequence] = message.reply
        if sequence > self._taken:
            self._taken = sequence
            if self._choice.wants(message.subject):
                self._queue.append((message, sequence, stored_ms))
                self.full = len(self._queue) >= _QUEUE
        elif sequence <= source.acknowledged:
            # It was acknowledged while the connection was away.
            self._start_acknowledging(sequence)
        if sequence - max(self._passed, source.acknowledged) >= _PASS_OVER_EVERY:
            self._passed = sequence
            self._pass_over()
        self._arrival.set()

    def _give(self, message: Msg, sequence: int, stored_ms: int) -> Received | None:
        if self.full and len(self._queue) <= _QUEUE // 2:
            self.full = False
            self._room.set()
        nothing_held = self._given <= self._opened().acknowledged
        self._given = sequence
        try:
            alert = decode(message.data)
        except ValueError as error:
            self.unreadable += 1
            unreadable = UnreadableAlertError(
                str(error), message.data, message.subject, sequence, self._acknowledge
            )
            if self._on_unreadable is None:
                raise unreadable from None
            self._on_unreadable(unreadable)
            if nothing_held and self._durable is not None:
                self._opened().acknowledged = sequence
                self._start_acknowledging(sequence)
            return None
        return Received(alert, message.data, message.subject, sequence, stored_ms, self._acknowledge)

    # --- acknowledging

    async def _acknowledge(self, sequence: int) -> None:
        source = self._opened()
        if self._durable is None or sequence <= source.acknowledged:
            return
        source.acknowledged = sequence
        await self._tell(sequence)

    async def _tell(self, sequence: int) -> None:
        """Tell the server, unless the message must come again first: its reply subject is then a new one."""
        source = self._opened()
        reply = self._replies.get(sequence) if self._opening == source.opening else None
        if reply is None:
            return
        for known in [n for n in self._replies if n < sequence]:
            del self._replies[known]
        await source.acknowledge(reply, sequence)

    def _pass_over(self) -> None:
        """Acknowledge what the choice left out, so that it is not read again after the next start."""
        source = self._opened()
        if self._durable is None or self._queue or self._given > source.acknowledged:
            return
        if self._taken > source.acknowledged:
            source.acknowledged = self._taken
            self._start_acknowledging(self._taken)

    def _start_acknowledging(self, sequence: int) -> None:
        task = asyncio.get_running_loop().create_task(self._tell(sequence))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
