"""What a stream holds, read once from the beginning to what was its end: for reports.

It takes nothing away and moves nobody's position: an ephemeral consumer without acknowledgements.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, Protocol

import msgspec
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from engine.alerts import Alert
from engine.events import POSITION_SHIFT, BadEvent, Event, EventDecoder
from engine.service.connection import Connection
from engine.service.errors import ServiceError
from engine.service.matching import DEFAULT_MAX_SKEW_MS
from engine.service.permissions import needed_to_read_again
from engine.service.settings import Settings

_BATCH: Final = 500
_FETCH_SECONDS: Final = 2.0
_TRIES: Final = 5
"""A pull may be answered by nothing for a while; so many in a row are taken for an end."""
_IDLE_SECONDS: Final = 60.0
"""The server removes the consumer this long after we are gone."""


class Stored(msgspec.Struct, frozen=True):
    """A message: its bytes, what it says it is, its sequence, and when it was stored (epoch ms)."""

    payload: bytes
    content_type: str | None
    sequence: int
    stored_ms: int


class StreamFacts(msgspec.Struct, frozen=True):
    """How many messages a stream holds, and how long it keeps them in milliseconds, None for ever."""

    messages: int
    max_age_ms: int | None


class StoredInput:
    """The input stream of a service. Use it as an asynchronous context manager.

    Raises:
        ServiceError: the server, the stream or a permission is missing; one sentence.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings)
        # It gives no answers, so whatever it may not publish is a missing permission.
        self._connection.permissions = needed_to_read_again(settings)
        self._stream = settings.input_stream

    async def __aenter__(self) -> StoredInput:
        await self._connection.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def facts(self) -> StreamFacts:
        """What the stream is."""
        with self._said():
            info = await self._js().stream_info(self._stream)
            age = float(info.config.max_age or 0)
        return StreamFacts(int(info.state.messages), round(age * 1_000) or None)

    async def messages(self, since: datetime.datetime | None = None) -> AsyncIterator[Stored]:
        """Every message, or those stored from a time on, in order, up to the one that is last now."""
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.ALL if since is None else DeliverPolicy.BY_START_TIME,
            inactive_threshold=_IDLE_SECONDS,
            mem_storage=True,
        )
        if since is not None:
            config.opt_start_time = since
        with self._said():
            consumer = await self._js().add_consumer(self._stream, config)
            left = int(consumer.num_pending or 0)
            pull = await self._js().pull_subscribe_bind(consumer=consumer.name, stream=self._stream)
            tries = 0
            while left > 0:
                try:
                    batch = await pull.fetch(min(_BATCH, left), timeout=_FETCH_SECONDS)
                except TimeoutError:
                    self._connection.check()
                    # What the stream's limits remove meanwhile never comes.
                    if not (await self._js().consumer_info(self._stream, consumer.name)).num_pending:
                        break
                    tries += 1
                    if tries == _TRIES:
                        raise ServiceError(
                            f"Stream {self._stream} stopped answering with {left:,} messages left to read."
                        ) from None
                    continue
                tries = 0
                for message in batch:
                    left -= 1
                    yield _stored(message)
            await self._js().delete_consumer(self._stream, consumer.name)

    def _js(self) -> Any:
        return self._connection.jetstream()

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Errors of the client as one sentence."""
        try:
            yield
        except NotFoundError:
            raise ServiceError(f"There is no stream {self._stream}.") from None
        except (TimeoutError, NatsError) as error:
            self._connection.check()
            text = error.description if isinstance(error, APIError) else str(error)
            raise ServiceError(
                f"Stream {self._stream} cannot be read: {(text or 'no answer').rstrip('.')}."
            ) from None


class Fed(msgspec.Struct, frozen=True):
    """What came of feeding a stream: events that are none by reason, and the stream's ``max_age_ms``."""

    refused: dict[str, int]
    max_age_ms: int | None


class Takes(Protocol):
    """A matcher that notes when events were received."""

    received_ms: int | None
    decoder: EventDecoder

    def feed(self, event: Event, position: int | None = None) -> list[Alert]: ...

    def advance(self, now_ms: int) -> list[Alert]: ...


async def feed_stored(
    settings: Settings,
    matcher: Takes,
    since: datetime.datetime | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> Fed:
    """Feed a matcher with what the input stream holds, as the service feeds its own.

    Raises:
        ServiceError: as :class:`StoredInput`.
    """
    refused: dict[str, int] = {}
    count = 0
    async with StoredInput(settings) as stored:
        facts = await stored.facts()
        async for message in stored.messages(since):
            count += 1
            if not count % _BATCH:
                progress(count)
            matcher.received_ms = message.stored_ms
            matcher.advance(message.stored_ms)
            items = matcher.decoder.decode_payload(message.payload, message.content_type)
            for index, item in enumerate(items):
                reason = None
                if isinstance(item, BadEvent):
                    # Of a kind that the rules do not know: the stream may serve others, too.
                    reason = None if item.reason == "unknown_kind" else item.reason
                    if reason is None:
                        continue
                elif item is not None and item.time > message.stored_ms + DEFAULT_MAX_SKEW_MS:  # type: ignore[operator]  # an int
                    reason = "future_time"
                if reason is not None:
                    refused[reason] = refused.get(reason, 0) + 1
                elif item is not None:
                    matcher.feed(item, message.sequence << POSITION_SHIFT | index)  # type: ignore[arg-type]  # shown above
    return Fed(refused, facts.max_age_ms)


def _stored(message: Any) -> Stored:
    headers = message.headers or {}
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
    facts = message.metadata
    return Stored(message.data, kind, facts.sequence.stream, int(facts.timestamp.timestamp() * 1_000))
