"""Where in the stream a time is, found with nothing but the consumer that the service reads through.

A consumer can be set to a sequence, but not to a time. So it is set to some, a message is taken at each, and
when that was stored says on which side to go on. A stream of a hundred million messages takes about 27.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec
from nats.js.api import StreamInfo

from engine.service.connection import Connection
from engine.service.pull import tokens_after_time
from engine.service.settings import Settings

_ONE = msgspec.json.encode({"batch": 1, "no_wait": True})
_TIMEOUT_SECONDS = 10.0


class Found(msgspec.Struct, frozen=True):
    """A message: its sequence, and when it was stored (epoch milliseconds)."""

    sequence: int
    stored_ms: int
    missing_ms: int = 0
    """How much of the time that was asked for lies before the first message that the stream holds."""


Look: TypeAlias = Callable[[int], Awaitable[Found | None]]
"""The first message from a sequence on."""


async def first_since(
    connection: Connection, settings: Settings, stream: StreamInfo, place: int, before_ms: int
) -> Found | None:
    """The first message that was stored at most so long before the one at ``place``; None if there is none.

    It leaves the consumer somewhere. Raises what the client raises (``NatsError``, ``TimeoutError``).
    """
    inbox = connection.client.new_inbox()
    # The client's own requests expect an answer on the subject that they name, and a message keeps its own.
    subscription = await connection.client.subscribe(inbox)

    async def look(sequence: int) -> Found | None:
        await connection.jetstream().reset_consumer(settings.input_stream, settings.consumer, seq=sequence)
        subject = f"CONSUMER.MSG.NEXT.{settings.input_stream}.{settings.consumer}"
        await connection.client.publish(f"{connection.api_prefix}.{subject}", _ONE, reply=inbox)
        return _found((await subscription.next_msg(timeout=_TIMEOUT_SECONDS)).reply)

    try:
        return await _first_since(look, stream, place, before_ms)
    finally:
        await subscription.unsubscribe()


async def _first_since(look: Look, stream: StreamInfo, place: int, before_ms: int) -> Found | None:
    at_place = await look(place)
    now_ms = round(time.time() * 1000)
    since_ms = (now_ms if at_place is None else at_place.stored_ms) - before_ms
    first = await look(max(1, stream.state.first_seq))
    if first is None or first.sequence > place:
        return None
    if first.stored_ms >= since_ms:
        return Found(first.sequence, first.stored_ms, first.stored_ms - since_ms)
    # `low` is too old; what is looked for is after it and not after `found`.
    low, high, found = first.sequence, place, at_place
    while low + 1 < high:
        middle = (low + high) // 2
        looked = await look(middle)
        if looked is None or looked.sequence > high:
            # Nothing is left from here on.
            high = middle
        elif looked.stored_ms >= since_ms:
            high, found = middle, looked
        else:
            low = looked.sequence
    return found if found is not None and found.sequence <= place else None


def _found(reply: str) -> Found | None:
    """The message that is acknowledged at this subject."""
    try:
        tokens = reply.rsplit(".", tokens_after_time(reply) + 3)
        return Found(int(tokens[1]), int(tokens[3][:-6]))
    except ValueError:
        # No message but a status: there is none.
        return None
