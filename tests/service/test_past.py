"""The stream read back beside the service: every message once and in order, whatever happens to the consumer,
and no more than may wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest
from nats.js.api import ConsumerConfig

from engine.service.errors import ServiceError
from engine.service.rules.past import Past
from engine.service.settings import Settings

COUNT = 3_000
SMALL = {"pull_batch": 50, "idle_heartbeat": 0.1}


@asynccontextmanager
async def reading(settings: Settings, since_ms: int = 0) -> AsyncIterator[Past]:
    past = Past(settings)
    try:
        await past.open(since_ms)
        yield past
    finally:
        await past.close()


async def fill(client: Any, count: int = COUNT) -> None:
    jetstream = client.jetstream()
    await jetstream.add_stream(name="EVENTS", subjects=["events.>"])
    for number in range(count):
        await client.publish("events.x", b"%d" % number)
    while (await jetstream.stream_info("EVENTS")).state.last_seq < count:  # noqa: ASYNC110  # no event
        await asyncio.sleep(0.01)


async def take(past: Past, until: int, found: list[int]) -> None:
    """What comes, up to a sequence."""
    while not found or found[-1] < until:
        found += [sequence for _, sequence, _ in past.take(until, 64)]
        await past.news(0.05)


def test_everything_from_a_time_on(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            await fill(client, 100)
            await asyncio.sleep(0.05)
            between = int(time.time() * 1000)
            await asyncio.sleep(0.05)
            for number in range(100):
                await client.jetstream().publish("events.x", b"%d" % number)
            async with reading(tools.settings(server, **SMALL), between) as past:
                assert past.first_held == 1
                found: list[int] = []
                await take(past, 150, found)
                assert found == list(range(101, 151))
                await past.news(1.0)
                # What is behind the place waits.
                assert (past.take(150, 64), past.next_sequence) == ([], 151)
                assert not await past.nothing_left() or past.waiting
                await take(past, 200, found)
                assert (found, past.left) == (list(range(101, 201)), 0)
                assert await past.nothing_left()
            assert await client.jetstream().consumers_info("EVENTS") == []

    tools.with_server(scenario)


def test_no_more_waits_than_may(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            await fill(client)
            async with reading(tools.settings(server, **SMALL)) as past:
                await tools.until(lambda: past.full)
                await asyncio.sleep(0.5)
                assert len(past.take(COUNT, COUNT)) <= 60
                found: list[int] = []
                await take(past, COUNT, found)
                assert past.reopened == 0

    tools.with_server(scenario)


@pytest.mark.parametrize("how", ["server", "consumer"])
def test_a_consumer_that_is_lost_is_made_anew_where_it_was(tools: Any, how: str) -> None:
    async def scenario() -> None:
        with tools.plain_server("nats") as server:
            settings = Settings(servers=(server.url,), commit_interval=0.05, **SMALL)
            client = await nats.connect(server.url, reconnect_time_wait=0.1, max_reconnect_attempts=-1)
            await fill(client)
            async with reading(settings) as past:
                found: list[int] = []
                await take(past, 700, found)
                if how == "server":
                    server.kill()
                    server.start()
                else:
                    await client.jetstream().delete_consumer("EVENTS", "thenwire-fill")
                await take(past, COUNT, found)
                assert found == list(range(1, COUNT + 1))
                assert past.reopened > 0
            await client.close()

    asyncio.run(_within(scenario()))


async def _within(work: Any) -> None:
    async with asyncio.timeout(60):
        await work


def test_what_is_gone_at_the_place_is_not_waited_for(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            await fill(client, 10)
            await client.jetstream().delete_msg("EVENTS", 10)
            async with reading(tools.settings(server, **SMALL)) as past:
                found: list[int] = []
                await take(past, 9, found)
                assert await past.nothing_left()

    tools.with_server(scenario)


def test_what_somebody_left_under_its_name_is_replaced(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            await fill(client, 10)
            config = ConsumerConfig(name="thenwire-fill", inactive_threshold=60.0)
            await client.jetstream().add_consumer("EVENTS", config)
            async with reading(tools.settings(server, **SMALL), int(time.time() * 1000) + 60_000) as past:
                await past.news(0.2)
                assert not past.waiting
                assert await past.nothing_left()

    tools.with_server(scenario)


def test_a_stream_that_is_not_there_is_one_sentence(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        past = Past(tools.settings(server))
        with pytest.raises(ServiceError, match="Stream EVENTS cannot be read: stream not found"):
            await past.open(0)
        await past.close()

    tools.with_server(scenario)
