"""Acknowledging, against a fake server that misbehaves in ways a real one does only now and then."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from nats.errors import TimeoutError as NatsTimeout

from engine.service.consumer import Consumer
from engine.service.settings import Settings


class FakeServer:
    """Stands in for connection, client and JetStream API at once; ``floor`` is the consumer's ack floor."""

    def __init__(self) -> None:
        self.client = self
        self.is_connected = True
        self.is_closed = False
        self.floor = 0
        self.applies_acks = True
        self.answers = True
        self.deliver: Callable[[Any], Awaitable[None]] | None = None
        self.on_reconnect: list[Callable[[], None]] = []
        self.on_slow_consumer: list[Callable[[], None]] = []
        self.api_prefix = "$JS.API"
        self.resets: list[int] = []

    def jetstream(self) -> "FakeServer":
        return self

    async def stream_info(self, _: str) -> Any:
        return SimpleNamespace(created=1, state=SimpleNamespace(first_seq=1, last_seq=1_000))

    async def consumer_info(self, *_: str) -> Any:
        config = SimpleNamespace(
            ack_policy="all",
            deliver_policy="all",
            deliver_subject=None,
            filter_subject=None,
            filter_subjects=None,
            max_ack_pending=100_000,
        )
        floor = SimpleNamespace(stream_seq=self.floor)
        return SimpleNamespace(config=config, ack_floor=floor, delivered=floor)

    async def reset_consumer(self, *_: str, seq: int) -> Any:
        self.resets.append(seq)
        self.floor = seq - 1
        return SimpleNamespace(info=SimpleNamespace(num_pending=0))

    def new_inbox(self) -> str:
        return "_INBOX.me"

    async def subscribe(self, _: str, *, cb: Callable[[Any], Awaitable[None]], **__: Any) -> Any:
        async def unsubscribe() -> None:
            pass

        self.deliver = cb
        return SimpleNamespace(pending_msgs=0, unsubscribe=unsubscribe)

    async def publish(self, *_: Any, **__: Any) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def settle(self) -> None:
        await self.flush()

    async def request(self, reply: str, *_: Any, **__: Any) -> None:
        if not self.answers:
            raise NatsTimeout
        if self.applies_acks:
            self.floor = int(reply.split(".")[5])

    async def message(self, sequence: int, delivery: int) -> None:
        assert self.deliver is not None
        reply = f"$JS.ACK.EVENTS.thenwire.1.{sequence}.{delivery}.1795383731895777921.0"
        await self.deliver(SimpleNamespace(reply=reply, headers=None))


class NoBackpressure:
    full = False

    async def wait_for_room(self) -> None:
        raise AssertionError("nothing is full")


def _run(scenario: Callable[[FakeServer, Consumer], Awaitable[None]]) -> None:
    async def inside() -> None:
        server = FakeServer()
        consumer = Consumer(
            server,  # type: ignore[arg-type]  # a fake
            Settings(idle_heartbeat=5.0),
            backpressure=NoBackpressure(),
            handle=lambda message, sequence, received_ms: None,
        )
        await consumer.open()
        try:
            async with asyncio.timeout(20):
                await scenario(server, consumer)
        finally:
            await consumer.close()

    asyncio.run(inside())


async def _acknowledge(consumer: Consumer, *, final: bool = False) -> bool:
    cut = consumer.cut()
    assert cut is not None
    return await consumer.acknowledge(cut, final=final)


async def _reopened(consumer: Consumer, times: int) -> None:
    while consumer.reopened < times or consumer.cut() is None or consumer.cut().reply:  # type: ignore[union-attr]  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0.001)


def test_an_acknowledgement_moves_the_floor_and_is_remembered() -> None:
    async def scenario(server: FakeServer, consumer: Consumer) -> None:
        assert consumer.cut() is None
        await server.message(1, 1)
        await server.message(2, 2)
        assert await _acknowledge(consumer)
        assert consumer.acknowledged == server.floor == 2
        assert consumer.cut() is None

    _run(scenario)


def test_acknowledgements_without_effect_open_the_pull_again() -> None:
    async def scenario(server: FakeServer, consumer: Consumer) -> None:
        await server.message(1, 1)
        server.applies_acks = False
        assert not await _acknowledge(consumer)
        assert consumer.acknowledged == 0
        await _reopened(consumer, 1)
        assert server.resets == [1, 1]

    _run(scenario)


def test_a_cut_from_before_a_reopening_is_not_sent() -> None:
    async def scenario(server: FakeServer, consumer: Consumer) -> None:
        await server.message(1, 1)
        before = consumer.cut()
        assert before is not None
        for callback in server.on_reconnect:
            callback()
        await _reopened(consumer, 1)
        assert not await consumer.acknowledge(before)
        assert server.floor == 0

    _run(scenario)


def test_the_last_acknowledgement_covers_what_is_still_coming_again() -> None:
    async def scenario(server: FakeServer, consumer: Consumer) -> None:
        for number in (1, 2, 3):
            await server.message(number, number)
        for callback in server.on_reconnect:
            callback()
        await _reopened(consumer, 1)
        # Of the three, only the first has come again when the service stops.
        await server.message(1, 1)
        await consumer.finish()
        assert await _acknowledge(consumer, final=True)
        assert consumer.acknowledged == server.floor == 3

    _run(scenario)


def test_only_the_last_acknowledgement_may_set_the_floor_itself() -> None:
    async def scenario(server: FakeServer, consumer: Consumer) -> None:
        await server.message(1, 1)
        server.answers = False
        assert not await _acknowledge(consumer)
        assert server.resets == [1]
        await consumer.finish()
        assert await _acknowledge(consumer, final=True)
        assert server.resets == [1, 2]
        assert server.floor == consumer.acknowledged == 1

    _run(scenario)
