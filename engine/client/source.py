"""The messages of the alert stream, in order and without a hole, over reconnects.

A pull consumer with what is in flight bounded by its requests; nats-py's own iterators drop messages
without a word when a subscriber is slow. A *durable* consumer acknowledges everything up to a message
(ack-all) and is reset to its first unacknowledged message whenever it is opened, because a server goes on
with new messages otherwise and repeats the others later, out of order. A *live* one lasts as long as its
connection: each opening makes a new one behind the last message seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from engine.service.connection import Connection
from engine.service.ending import complete, end
from engine.service.errors import ServiceError
from engine.service.permissions import needed_to_read
from engine.service.pull import Backpressure, Pull
from engine.service.settings import Settings

_log = logging.getLogger("thenwire.client")
Start = Literal["new", "all"] | datetime

_BATCH = 100
_BATCH_BYTES = 4 * 1024 * 1024
_ACK_WAIT_SECONDS = 300.0
_INACTIVE_SECONDS = 60.0
_ACK_TIMEOUT_SECONDS = 5.0
_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
_GAPS_ALLOWED = 10
_GAP_PERIOD_SECONDS = 60.0


class Plan(msgspec.Struct, frozen=True):
    """What to read: ``durable`` names the consumer that keeps the place; None reads live."""

    stream: str
    subject: str
    durable: str | None
    start: Start


class Source:
    """See the head of this file. ``handle`` gets each message, its sequence and when it was stored."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        backpressure: Backpressure,
        handle: Callable[[Msg, int, int], None],
    ) -> None:
        self.opening = 0
        """Counts openings: a reply subject of an earlier one is worth nothing any more."""
        self.target = 0
        """Sequence of the last message in the stream when it was first opened."""
        self.expected = 0
        """How many messages waited at this opening."""
        self.arrived = 0
        """How many came since this opening."""
        self.acknowledged = 0
        """Up to here everything is dealt with; a durable consumer goes on after it."""
        self.lost = 0
        """How many messages, at most, the stream's limits removed before they were read."""
        self._settings = settings
        self._plan = plan
        self._backpressure = backpressure
        self._handle = handle
        self._position = 0
        self._pull: Pull | None = None
        self._wake = asyncio.Event()
        self._gaps: deque[float] = deque(maxlen=_GAPS_ALLOWED)
        self._supervisor: asyncio.Task[None] | None = None
        self._closing = False
        self._ack_checked = 0
        self._first = 0
        self.connection = Connection(settings)
        self.connection.permissions = needed_to_read(settings, plan.stream, plan.durable)

    async def open(self) -> None:
        """Connect and start to read. Raises `ServiceError`."""
        await self.connection.open()
        opening = asyncio.ensure_future(self._open_pull())
        try:
            # A missing permission shows as a silent timeout; the error callback knows the reason sooner.
            await asyncio.wait({opening, self.connection.failed}, return_when=asyncio.FIRST_COMPLETED)
            if self.connection.failed.done():
                self.connection.failed.result()
            await opening
        except NotFoundError:
            raise ServiceError(f"There is no stream {self._plan.stream} with alerts.") from None
        except (NatsError, TimeoutError) as error:
            raise ServiceError(f"Stream {self._plan.stream} cannot be read: {error}.") from None
        finally:
            opening.cancel()
        self.connection.on_reconnect.append(lambda: self._reopen("reconnected"))
        self.connection.on_slow_consumer.append(lambda: self._reopen("the client dropped a message"))
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    async def close(self) -> None:
        """Stop reading and disconnect. Whoever is cancelled meanwhile leaves no open connection behind."""
        await complete(self._close())

    async def _close(self) -> None:
        self._closing = True
        if self._supervisor is not None:
            await end(self._supervisor)
        if self._pull is not None:
            with contextlib.suppress(NatsError):
                await self._pull.discard()
        await self.connection.close()

    async def acknowledge(self, reply: str, sequence: int, *, sure: bool = False) -> None:
        """Acknowledge everything up to ``sequence``, whose reply subject, of this opening, is ``reply``.

        The first time in an opening, and with ``sure``, the server's confirmation is awaited. What is not
        confirmed, or gets lost, comes again after the next opening: nothing raises for it.
        """
        client, opening = self.connection.client, self.opening
        try:
            if self._ack_checked == opening and not sure:
                await client.publish(reply)
                return
            await client.request(reply, b"", timeout=_ACK_TIMEOUT_SECONDS)
            if self._ack_checked != opening:
                # One from before the reset may have been applied after it; then ours would have no effect.
                info = await self._jetstream().consumer_info(self._plan.stream, self._plan.durable or "")
                if info.ack_floor is None or info.ack_floor.stream_seq < sequence:
                    self._reopen("the acknowledgement had no effect")
                    return
                self._ack_checked = opening
        except (NatsError, TimeoutError) as error:
            _log.info("an acknowledgement was not confirmed: %s", error)

    def _jetstream(self) -> JetStreamContext:
        return self.connection.jetstream()

    async def _open_pull(self) -> None:
        if self._pull is not None:
            await self._pull.discard()
            self._position = max(self._position, self._pull.position)
            self._pull = None
            # The server must have dropped the old requests before it may deliver again.
            await self.connection.client.flush()
        self.opening += 1
        self.arrived = 0
        if self._plan.durable is None:
            info = await self._live_consumer()
            position = self._position
        else:
            info = await self._durable_consumer(self._plan.durable)
            # What comes again must reach `handle` too: it has new reply subjects.
            position = 0
        self.expected = info.num_pending or 0
        self._pull = Pull(
            self.connection.client,
            f"{self.connection.api_prefix}.CONSUMER.MSG.NEXT.{self._plan.stream}.{info.name}",
            batch=_BATCH,
            batch_bytes=_BATCH_BYTES,
            heartbeat=self._settings.idle_heartbeat,
            position=position,
            backpressure=self._backpressure,
            handle=self._on_message,
            ask_reopen=self._reopen,
            on_failure=self._on_failure,
        )
        await self._pull.open()

    def _on_message(self, message: Msg, sequence: int, stored_ms: int) -> None:
        self.arrived += 1
        self._handle(message, sequence, stored_ms)

    async def _look_at_stream(self, begun: int) -> None:
        """Note where the stream ends, and whether its limits took away what was not read yet."""
        state = (await self._jetstream().stream_info(self._plan.stream)).state
        if self.opening == 1:
            self.target = state.last_seq
        self._first = state.first_seq
        self._note_lost(begun, state.first_seq)

    def _note_lost(self, begun: int, first: int) -> None:
        if 0 < begun < first - 1:
            self.lost += first - 1 - begun
            _log.error(
                "DATA LOSS: stream %s begins at %d, but %d was next; up to %d alerts were removed unread",
                *(self._plan.stream, first, begun + 1, first - 1 - begun),
            )

    def _config(self, **more: object) -> ConsumerConfig:
        start = self._plan.start
        config = ConsumerConfig(filter_subject=self._plan.subject, description="alerts for a subscriber")
        begun = self._position if self._plan.durable is None else self.acknowledged
        if not begun and start == "new":
            begun = self.target
        if begun or start == "new":
            more |= {"deliver_policy": DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": begun + 1}
        elif start == "all":
            more |= {"deliver_policy": DeliverPolicy.ALL}
        else:
            begin = start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            more |= {"deliver_policy": DeliverPolicy.BY_START_TIME, "opt_start_time": begin}
        return config.evolve(**more)

    async def _live_consumer(self) -> ConsumerInfo:
        await self._look_at_stream(self._position)
        config = self._config(
            name=f"thenwire-{secrets.token_hex(6)}",
            ack_policy=AckPolicy.NONE,
            inactive_threshold=_INACTIVE_SECONDS,
            mem_storage=True,
        )
        info: ConsumerInfo = await self._jetstream().add_consumer(self._plan.stream, config)
        return info

    async def _durable_consumer(self, name: str) -> ConsumerInfo:
        stream, jetstream = self._plan.stream, self._jetstream()
        await self._look_at_stream(self.acknowledged)
        try:
            info: ConsumerInfo = await jetstream.consumer_info(stream, name)
        except NotFoundError:
            config = self._config(
                name=name,
                durable_name=name,
                ack_policy=AckPolicy.ALL,
                ack_wait=_ACK_WAIT_SECONDS,
                max_deliver=-1,
                max_ack_pending=-1,
            )
            try:
                info = await jetstream.add_consumer(stream, config)
            except APIError as error:
                reason = (error.description or f"error {error.code}").rstrip(".")
                raise ServiceError(
                    f"Consumer {name} of stream {stream} cannot be created: {reason}."
                ) from None
        self._check(name, info.config)
        floor = info.ack_floor.stream_seq if info.ack_floor else 0
        begun = max(floor, self.acknowledged)
        if self.opening == 1:
            self._note_lost(floor, self._first)
        # Without a sequence the floor stays where it is, which may be below what a reset to it may name.
        await jetstream.reset_consumer(stream, name, seq=begun + 1 if begun > floor else None)
        self.acknowledged = begun
        current: ConsumerInfo = await jetstream.consumer_info(stream, name)
        return current

    def _check(self, name: str, config: ConsumerConfig) -> None:
        named = f"Consumer {name} of stream {self._plan.stream}"
        if config.ack_policy != AckPolicy.ALL or config.deliver_subject:
            raise ServiceError(
                f"{named} exists, but not as a pull consumer with ack policy all; take another name."
            )
        reads = config.filter_subject or ", ".join(config.filter_subjects or []) or ">"
        if reads != self._plan.subject:
            raise ServiceError(
                f"{named} reads {reads}, not {self._plan.subject}; delete it or take another name."
            )

    # --- keeping it open

    def _on_failure(self, error: BaseException) -> None:
        self.connection.fail(ServiceError(f"Reading alerts failed: {type(error).__name__}: {error}."))

    def _reopen(self, reason: str) -> None:
        if reason.startswith("gap"):
            now = asyncio.get_running_loop().time()
            self._gaps.append(now)
            if len(self._gaps) == _GAPS_ALLOWED and now - self._gaps[0] < _GAP_PERIOD_SECONDS:
                self.connection.fail(
                    ServiceError(
                        f"Alerts for consumer {self._plan.durable} of stream {self._plan.stream} go missing "
                        "again and again: does another subscriber read from it?"
                    )
                )
        _log.info("the alert stream is opened again: %s", reason)
        self._wake.set()

    async def _supervise(self) -> None:
        attempt = 0
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._settings.idle_heartbeat)
            if not self.connection.client.is_connected:
                await asyncio.sleep(_RETRY_SECONDS[0])
                continue
            if not self._wake.is_set() and (self._pull is not None and not self._pull.is_silent()):
                continue
            self._wake.clear()
            try:
                await self._open_pull()
                attempt = 0
            except ServiceError as error:
                self.connection.fail(error)
                return
            except NotFoundError:
                self.connection.fail(ServiceError(f"Stream {self._plan.stream} with alerts was deleted."))
                return
            except (NatsError, TimeoutError) as error:
                _log.warning("the alert stream cannot be opened yet: %s", error)
                await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
                self._wake.set()
            except Exception as error:
                self._on_failure(error)
                return
