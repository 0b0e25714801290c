"""Publishes alerts and dead letters so that each is stored exactly once.

Messages go out with core publishes that name one common inbox for the
acknowledgements, many in flight at a time. Each has its ``Nats-Msg-Id``, so
whatever is unacknowledged for too long, or at a reconnect, is published again,
and JetStream drops the second copy. Nothing is given up while the process
lives: when JetStream does not answer, the window stays full and `wait_for_room`
holds the source back.

Order: messages leave in the order of `enqueue`. At a reconnect everything
unacknowledged leaves again, oldest first. A stream that refuses one message may
take the next, so a revision of an alert does not leave before the one before it
is stored: else the first would be stored behind the second.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from engine.service.connection import Connection
from engine.service.processor import Outgoing
from engine.service.pull import TURN_SECONDS
from engine.service.series import Series
from engine.service.subjects import header_value, safe_message_id

_log = logging.getLogger("thenwire.service")
_WINDOW_BYTES = 16 * 1024 * 1024
_OVERHEAD_BYTES = 512
# JSStreamMessageExceedsMaximumErr: no later attempt can succeed.
_TOO_LARGE_FOR_STREAM = 10054


class _AckError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    """JetStream's answer to a publish (ADR-22): where the message was stored, or why not."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _AckError | None = None


class Publisher:
    """See the head of this file. `full` is kept up to date, so that asking costs one attribute.

    ``replace`` is called with a message that no stream will ever take, because it
    is too large, and the reason. What it returns is published in its place; for
    None the message is counted in `refused` and forgotten.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        window: int,
        timeout: float,
        replace: Callable[[Outgoing, str], Outgoing | None],
    ) -> None:
        self.full = False
        self.stored: Counter[str] = Counter()
        self.duplicates = 0
        self.resent = 0
        self.refused = 0
        self.last_number = -1
        self._connection = connection
        self._client = connection.client
        self._window = window
        self._timeout = timeout
        self._replace = replace
        self._unsettled: dict[int, Outgoing] = {}
        self._series = Series()
        self._lowest = 0
        self._held = False
        self._bytes = 0
        self._to_send: deque[int] = deque()
        self._sent_at: dict[int, float] = {}
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._closed = False
        self._complain_after = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._decoder = msgspec.json.Decoder(_Ack)

    async def open(self) -> None:
        """Subscribe to the acknowledgements and start sending."""
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(
            f"{self._inbox}.*",
            cb=self._on_ack,
            pending_msgs_limit=8 * self._window + 1024,
            pending_bytes_limit=0,
        )
        self._connection.on_reconnect.append(self._send_again_all)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._send()), loop.create_task(self._watch())]

    async def close(self) -> None:
        """Stop sending. What is unsettled stays unsettled; see `settled`."""
        self._closed = True
        self._wake.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def enqueue(self, message: Outgoing) -> None:
        """Take ``message`` for publishing. Never waits and never fails."""
        self.last_number += 1
        self._unsettled[self.last_number] = message
        self._bytes += len(message.payload) + _OVERHEAD_BYTES
        if self._series.may_leave(self.last_number, message.message_id):
            self._to_send.append(self.last_number)
            self._wake.set()
        self._update_full()

    def hold(self) -> None:
        """Be full until `release`: no further message of the input is processed from now on."""
        self._held = True
        self._update_full()

    def release(self) -> None:
        """End `hold`."""
        self._held = False
        self._update_full()
        self._progress.set()

    async def wait_for_room(self) -> None:
        """Return when fewer messages than the window are unsettled, and nobody holds the input."""
        while self.full:
            self._progress.clear()
            await self._progress.wait()

    async def settled(self, number: int) -> None:
        """Return when all messages up to ``number`` (a value of `last_number`) are stored or refused."""
        while self._lowest <= number:
            self._progress.clear()
            await self._progress.wait()

    @property
    def unsettled(self) -> int:
        """How many messages are not yet known to be stored."""
        return len(self._unsettled)

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closed:
            await self._wake.wait()
            self._wake.clear()
            turn_ends = loop.time() + TURN_SECONDS
            # The client swallows a cancellation while it flushes, hence the flag here too.
            while self._may_send():
                number = self._to_send.popleft()
                message = self._unsettled.get(number)
                if message is None:
                    continue
                headers = _headers(message)
                # The server would close the connection over it, and the client looks at the payload only.
                if _size(message, headers) > self._client.max_payload:
                    self._give_up(number, message, f"larger than max_payload {self._client.max_payload}")
                    continue
                now = self._sent_at[number] = loop.time()
                try:
                    await self._client.publish(
                        message.subject, message.payload, reply=f"{self._inbox}.{number}", headers=headers
                    )
                except NatsError as error:
                    # Not connected, or the buffer is full: the watch sends it again.
                    self._complain(f"publishing is delayed: {error}")
                    break
                if now > turn_ends:
                    # The client takes in a whole window without waiting for anything.
                    await asyncio.sleep(0)
                    turn_ends = loop.time() + TURN_SECONDS

    def _may_send(self) -> bool:
        return (
            bool(self._to_send)
            and len(self._sent_at) < self._window
            and self._client.is_connected
            and not self._closed
        )

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closed:
            await asyncio.sleep(self._timeout / 4)
            due = loop.time() - self._timeout
            overdue = [number for number, sent in self._sent_at.items() if sent < due]
            if overdue and self._client.is_connected:
                _log.warning("%d published messages had no answer and are sent again", len(overdue))
                self._send_again(overdue)
            # A sender that stopped while disconnected has nobody else to wake it.
            self._wake.set()

    def _send_again_all(self) -> None:
        self._send_again(list(self._sent_at))

    def _send_again(self, numbers: list[int]) -> None:
        numbers.sort()
        for number in numbers:
            del self._sent_at[number]
        self.resent += len(numbers)
        self._to_send.extendleft(reversed(numbers))
        self._wake.set()

    async def _on_ack(self, answer: Msg) -> None:
        text = answer.subject.rpartition(".")[2]
        number = int(text) if text.isdecimal() else -1
        message = self._unsettled.get(number)
        if message is None:
            return
        try:
            ack = self._decoder.decode(answer.data)
        except msgspec.DecodeError:
            # No stream (status 503 without a body): left to the timeout, which is also the pause.
            self._complain(f"no stream took the message on {message.subject}")
            return
        if ack.error is not None and ack.error.err_code == _TOO_LARGE_FOR_STREAM:
            self._sent_at.pop(number, None)
            self._give_up(number, message, ack.error.description)
        elif ack.error is not None or ack.seq == 0:
            # Left to the timeout too: the disk may be full, the stream without a leader.
            self._complain(f"not stored yet: {ack.error.description if ack.error else 'no sequence'}")
        else:
            self.stored[message.subject.partition(".")[0]] += 1
            self.duplicates += ack.duplicate
            self._forget(number, message)

    def _give_up(self, number: int, message: Outgoing, reason: str) -> None:
        """Put the replacement under the same number, so that `settled` waits for it."""
        replacement = self._replace(message, reason)
        if replacement is None:
            self.refused += 1
            _log.error("dropped a message for %s that no stream takes: %s", message.subject, reason)
            self._forget(number, message)
            return
        self._bytes += len(replacement.payload) - len(message.payload)
        self._unsettled[number] = replacement
        self._to_send.append(number)
        self._wake.set()

    def _complain(self, text: str) -> None:
        """Log a warning, at most once in `_timeout` seconds: a full disk fails thousands at a time."""
        now = asyncio.get_running_loop().time()
        if now >= self._complain_after:
            self._complain_after = now + self._timeout
            _log.warning("%s", text)

    def _forget(self, number: int, message: Outgoing) -> None:
        del self._unsettled[number]
        self._sent_at.pop(number, None)
        self._bytes -= len(message.payload) + _OVERHEAD_BYTES
        following = self._series.done(number)
        if following is not None:
            # It is older than what has not left yet.
            self._to_send.appendleft(following)
        while self._lowest <= self.last_number and self._lowest not in self._unsettled:
            self._lowest += 1
        self._update_full()
        self._progress.set()
        if self._to_send:
            self._wake.set()

    def _update_full(self) -> None:
        self.full = self._held or len(self._unsettled) >= 2 * self._window or self._bytes >= _WINDOW_BYTES


def _headers(message: Outgoing) -> dict[str, str]:
    headers = {"Nats-Msg-Id": safe_message_id(message.message_id)}
    for name, value in message.headers.items():
        headers[name] = header_value(value)
    return headers


def _size(message: Outgoing, headers: dict[str, str]) -> int:
    """The bytes that the server counts against ``max_payload``: headers and payload."""
    lines = sum(len(name) + len(value) + len(": \r\n") for name, value in headers.items())
    return len(message.payload) + lines + len("NATS/1.0\r\n\r\n")
