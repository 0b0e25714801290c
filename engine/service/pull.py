"""One pull subscription: requests out, messages into a callback, checked for gaps.

nats-py's `fetch` costs four times as much and stalls, and its push consumers
drop messages silently when the client is slow. So we publish the pull requests
ourselves. What may be in flight is bounded by the requests, hence nothing can
overflow, and every message's consumer sequence must be one more than the last,
hence nothing can be missed without being noticed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Final, Protocol, TypeAlias

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

_log = logging.getLogger("thenwire.service")

TURN_SECONDS = 0.005
"""How long messages are processed in a row before other tasks get their turn."""

MOST_TOGETHER: Final = 64
"""Messages that are handled together if so many wait: some tenths of a millisecond, at one event each."""
MOST_BYTES: Final = 32 * 1024
"""Of messages that are handled together: one of many events has its turn alone."""

Received: TypeAlias = tuple[Msg, int, int]
"""A message, its stream sequence, and the time at which it was stored in epoch milliseconds."""

_EXPIRES_SECONDS = 30.0
_FINISH_POLL_SECONDS = 0.005
_ACK_PREFIX = "$JS.ACK."


class Backpressure(Protocol):
    """Something that may ask the source to wait; `full` is looked at before every message."""

    full: bool

    async def wait_for_room(self) -> None:
        """Return when there is room again."""
        ...


def tokens_after_time(reply: str) -> int:
    """How many tokens follow the time in a message's acknowledgement subject (ADR-15).

    Without a JetStream domain the subject is ``$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.
    <consumer sequence>.<nanoseconds since the epoch>.<pending>``, 9 tokens, and the answer is 1. With a
    domain, domain and account hash stand before the stream, and a random token may follow: then it is 2.
    Raises ``ValueError`` for anything else.
    """
    tokens = reply.count(".") + 1 if reply.startswith(_ACK_PREFIX) else 0
    if tokens not in (9, 11, 12):
        raise ValueError("no acknowledgement subject")
    return 2 if tokens == 12 else 1


def alike(batch: Sequence[Received]) -> Iterator[list[Received]]:
    """Messages in parts that can be taken in together: they have no headers, were stored at one time, and
    follow each other in the stream.
    """
    part: list[Received] = []
    next_sequence = stored_ms = -1
    for received in batch:
        message, sequence, at = received
        if part and (sequence != next_sequence or at != stored_ms or message.headers):
            yield part
            part = []
        part.append(received)
        stored_ms = at
        # After one with headers comes another part in any case.
        next_sequence = -1 if message.headers else sequence + 1
    if part:
        yield part


class Pull:
    """The life of one inbox. When ``ask_reopen`` was called, it takes in nothing more and is thrown away.

    ``handle`` is called synchronously and in order with each message after
    ``position``, its stream sequence and the time at which it was stored in epoch
    milliseconds. It runs between two awaits, so closing the pull never cuts it in
    half. If it raises, ``on_failure`` is told and nothing more is taken in.

    ``together``, if given, takes in its place messages of which each was there already when the one before it
    was taken from the client's queue, in order, under the same conditions. None is held back for it.
    """

    def __init__(
        self,
        client: Client,
        request_subject: str,
        *,
        batch: int,
        batch_bytes: int,
        heartbeat: float,
        position: int,
        backpressure: Backpressure,
        handle: Callable[[Msg, int, int], None],
        ask_reopen: Callable[[str], None],
        on_failure: Callable[[BaseException], None],
        together: Callable[[list[Received]], None] | None = None,
    ) -> None:
        self.position = position
        """Stream sequence of the last message handled, in this pull or before."""
        self.skipped = 0
        self.last_reply = ""
        """Reply subject of the last message: what to acknowledge. Empty before the first."""
        self.last_sequence = 0
        """Its stream sequence; below `position` while messages come again."""
        self._client = client
        self._request_subject = request_subject
        self._batch = batch
        self._batch_bytes = batch_bytes
        self._heartbeat = heartbeat
        self._backpressure = backpressure
        self._handle = handle
        self._ask_reopen = ask_reopen
        self._on_failure = on_failure
        self._together = together
        # Taken from the client's queue and not yet handled; only while more wait there.
        self._queued: list[Received] = []
        self._bytes = 0
        self._taken = position
        self._last = ("", 0)
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._delivered = 0
        # Requests reach up to this delivery; a new one is due when only one of them is left.
        self._asked_until = 0
        self._request_at = 0
        self._tokens_after_time = 0
        self._refusals = 0
        self._delivered_at_refusal = -1
        self._accepting = True
        self._requesting = True
        self._waiting = False
        self._heard = monotonic()
        self._turn_end = 0.0

    async def open(self) -> None:
        """Subscribe and send the first two requests."""
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(
            self._inbox,
            cb=self._on_message,
            # In flight are at most two requests; the rest is room for heartbeats during a long wait.
            pending_msgs_limit=4 * self._batch + 10_000,
            pending_bytes_limit=0,
        )
        self._heard = monotonic()
        await self._request()
        await self._request()

    async def finish(self) -> None:
        """Ask for nothing more and return when what waits in the client is processed.

        What the server sends meanwhile is left unacknowledged and comes again. (The subscription's own
        ``drain`` needs a live connection and fails without one.)
        """
        self._requesting = False
        subscription = self._subscription
        if subscription is not None:
            last = self._delivered + subscription.pending_msgs
            while self._accepting and subscription.pending_msgs and self._delivered < last:  # noqa: ASYNC110
                # The client has no event for an emptied queue.
                await asyncio.sleep(_FINISH_POLL_SECONDS)
            if self._accepting and not self._backpressure.full:
                self._process()
        await self.discard()

    async def discard(self) -> None:
        """End the subscription at once; what is queued is not processed."""
        self._accepting = False
        self._requesting = False
        if self._subscription is not None and not self._client.is_closed:
            await self._subscription.unsubscribe()
            self._subscription = None

    def is_silent(self) -> bool:
        """Whether neither a message nor a heartbeat came for twice the heartbeat interval."""
        if self._waiting or self._subscription is None or self._subscription.pending_msgs:
            return False
        return monotonic() - self._heard > 2 * self._heartbeat

    async def _request(self) -> None:
        self._asked_until += self._batch
        self._request_at = self._asked_until - self._batch
        request = {
            "batch": self._batch,
            "max_bytes": self._batch_bytes,
            "expires": int(_EXPIRES_SECONDS * 1e9),
            "idle_heartbeat": int(self._heartbeat * 1e9),
        }
        await self._client.publish(self._request_subject, msgspec.json.encode(request), reply=self._inbox)

    async def _on_message(self, message: Msg) -> None:
        self._heard = now = monotonic()
        # A header cannot tell the server's statuses from messages, because whoever publishes an event
        # chooses its headers; only the server can set the reply subject.
        reply = message.reply
        if message.headers is not None and not reply.startswith(_ACK_PREFIX):
            # What was taken before it has nothing else to wait for.
            if self._queued and self._backpressure.full:
                await self._wait_for_room()
            if self._queued and self._accepting:
                self._process()
            await self._on_status(message)
            return
        if now > self._turn_end:
            await asyncio.sleep(0)
            self._turn_end = monotonic() + TURN_SECONDS
        if self._backpressure.full:
            await self._wait_for_room()
        if not self._accepting:
            return
        try:
            last = self._tokens_after_time or self._learn_form(reply)
            tokens = reply.rsplit(".", last + 3)
            sequence = int(tokens[1])
            delivery = int(tokens[2])
            received_ms = int(tokens[3][:-6])
        except ValueError:
            self._give_up("a message without a readable acknowledgement subject")
            return
        if delivery != self._delivered + 1:
            self._process()
            self._give_up(f"gap: delivery {delivery} came after {self._delivered}")
            return
        self._delivered = delivery
        self._last = (reply, sequence)
        if sequence > self._taken:
            self._taken = sequence
            self._queued.append((message, sequence, received_ms))
        else:
            self.skipped += 1
        if self._together is None or not self._may_wait(message):
            self._process()
        if delivery >= self._request_at and self._requesting:
            await self._request()

    def _may_wait(self, message: Msg) -> bool:
        """Whether a message can be handled together with the next one, which is there already."""
        self._bytes += len(message.data)
        return (
            self._bytes < MOST_BYTES
            and len(self._queued) < MOST_TOGETHER
            and self._subscription is not None
            and self._subscription.pending_msgs > 0
        )

    def _process(self) -> None:
        """Handle what was taken."""
        batch = self._queued
        try:
            if len(batch) > 1 and self._together is not None:
                self._together(batch)
                self.position = self._taken
            else:
                for message, sequence, received_ms in batch:
                    self._handle(message, sequence, received_ms)
                    self.position = sequence
        except BaseException as error:
            # Going on would acknowledge this message with the next one.
            self._accepting = False
            self._on_failure(error)
            raise
        self._queued = []
        self._bytes = 0
        self.last_reply, self.last_sequence = self._last

    def _learn_form(self, reply: str) -> int:
        """All replies of one subscription have the same form, so it is worked out once."""
        self._tokens_after_time = tokens_after_time(reply)
        return self._tokens_after_time

    async def _wait_for_room(self) -> None:
        self._waiting = True
        try:
            await self._backpressure.wait_for_room()
        finally:
            self._waiting = False
            self._heard = monotonic()

    async def _on_status(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status == "100" or not self._accepting:
            return
        description = headers.get("Description", "")
        left = headers.get("Nats-Pending-Messages", "")
        if status not in ("404", "408", "409") or not left.isdecimal():
            self._give_up(f"status {status} {description}".rstrip())
            return
        # The request has ended with so many messages undelivered.
        self._asked_until -= int(left)
        self._request_at = self._asked_until - self._batch
        if status == "409" and "MaxBytes" in description and int(left):
            self._widen()
        elif status == "409" and "Batch Completed" not in description and "MaxBytes" not in description:
            self._give_up(f"status 409 {description}")
            return
        if self._requesting and self._delivered >= self._request_at:
            await self._request()

    def _widen(self) -> None:
        """Ask for more bytes when the next message alone exceeds a request.

        The server fills both requests in turn, so both can end in a row without a message between them; a
        third such end is one of a fresh request.
        """
        if self._delivered != self._delivered_at_refusal:
            self._refusals = 0
        self._delivered_at_refusal = self._delivered
        self._refusals += 1
        if self._refusals > 2:
            self._refusals = 0
            self._batch_bytes *= 2
            _log.warning("a message is larger than pull_bytes, which is now %d", self._batch_bytes)

    def _give_up(self, reason: str) -> None:
        self._accepting = False
        self._requesting = False
        self._ask_reopen(reason)
