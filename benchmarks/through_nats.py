"""Reading events from JetStream: the service's own client with an empty callback, with one that decodes,
and with the engine in it.

All three read the same stream of the same server with the same `Pull`, so they pay alike for what it checks.
The engine is the processor of ``thenwire run``: every bad event would be refused, and events keep all fields
that may not be missing. It is told the time as the service is, by when messages were stored. What it answers
is encoded and counted, not published: the cost of an alert is measured apart. A server of our own runs in a
temporary directory. The stream lies in memory, so that no disk is measured.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig

from benchmarks.floor import floor_decoder
from benchmarks.generate import flows
from benchmarks.generate.draw import START_MS
from benchmarks.result import NatsResult
from benchmarks.run import matcher_of
from benchmarks.works import w1
from dsl import RuleSet
from engine.reload.bundle import bundle_of
from engine.reload.prepare import Prepared, make_matcher
from engine.service.connection import Connection
from engine.service.embedded import EmbeddedServer, find_server
from engine.service.pull import Pull, Received, alike
from engine.service.rules.processor import ReloadingProcessor
from engine.service.settings import Settings

EVENTS = {1: 100_000, 100: 1_000_000}
"""Events sent, by the number of them in a message."""
ROUNDS = 5
_STREAM = "BENCH"
_SUBJECT = "bench.events"
_BATCH = 2_000
_BATCH_BYTES = 8 * 1024 * 1024
_WAIT_SECONDS = 120.0
_NO_SKEW_LIMIT_MS = 1 << 62
Take = Callable[[list[Received]], None]
"""Takes in messages that came together, or one."""


def measure(seed: int) -> list[NatsResult]:
    """Single events and messages of a hundred.

    Raises:
        ServiceError, SettingsError: no server can be found or started.
    """
    return asyncio.run(_measure(seed))


async def _measure(seed: int) -> list[NatsResult]:
    with tempfile.TemporaryDirectory(prefix="thenwire-bench-") as folder:
        binary = find_server(None, os.environ)
        async with EmbeddedServer(Path(folder) / "nats", binary=binary) as server:
            connection = Connection(Settings(servers=(server.url,), token=server.token))
            await connection.open()
            try:
                return [await _one(connection.client, size, count, seed) for size, count in EVENTS.items()]
            finally:
                await connection.close()


async def _one(client: Client, size: int, count: int, seed: int) -> NatsResult:
    lines = list(flows.lines(count, seed))
    jetstream = client.jetstream(timeout=30.0)
    stream = StreamConfig(name=_STREAM, subjects=[_SUBJECT], storage=StorageType.MEMORY)
    await jetstream.add_stream(stream)
    messages = 0
    for begin in range(0, count, size):
        waiting = await jetstream.publish_async(_SUBJECT, b"\n".join(lines[begin : begin + size]))
        messages += 1
        if messages % 200 == 0:
            await waiting
    await jetstream.publish_async_completed()
    ruleset = w1.make([]).ruleset
    decode = floor_decoder(matcher_of(w1.make([])).decoder)
    empty: list[tuple[float, float]] = []
    decoding: list[tuple[float, float]] = []
    engine: list[tuple[float, float]] = []
    alerts = 0
    for number in range(ROUNDS):
        empty.append(await _read(client, f"empty-{number}", messages, lambda _: None))
        decoding.append(await _read(client, f"decode-{number}", messages, _decoder(decode)))
        take, found = _engine(ruleset)
        engine.append(await _read(client, f"engine-{number}", messages, take))
        alerts = found()
    await jetstream.delete_stream(_STREAM)
    return NatsResult(
        events_per_message=size,
        events=count,
        rounds=ROUNDS,
        alerts=alerts,
        expected=w1.brute_force(lines),
        empty_events_per_second=count / median(wall for wall, _ in empty),
        decode_events_per_second=count / median(wall for wall, _ in decoding),
        engine_events_per_second=count / median(wall for wall, _ in engine),
        share=median(e[0] / f[0] for e, f in zip(empty, engine, strict=True)),
        share_of_decode=median(d[0] / f[0] for d, f in zip(decoding, engine, strict=True)),
        empty_cpu_us=median(cpu for _, cpu in empty) / count * 1e6,
        decode_cpu_us=median(cpu for _, cpu in decoding) / count * 1e6,
        engine_cpu_us=median(cpu for _, cpu in engine) / count * 1e6,
    )


def _decoder(decode: Callable[[bytes], object]) -> Take:
    def take(batch: list[Received]) -> None:
        for message, _, _ in batch:
            for line in message.data.split(b"\n"):
                decode(line)

    return take


def _engine(ruleset: RuleSet) -> tuple[Take, Callable[[], int]]:
    prepared = Prepared(bundle_of(ruleset), ruleset, make_matcher(ruleset), tests=0)
    processor = ReloadingProcessor(prepared, max_skew_ms=_NO_SKEW_LIMIT_MS)
    # The events are of another year: by the time of their storing all of them would be late.
    shift: int | None = None

    def take(batch: list[Received]) -> None:
        nonlocal shift
        if shift is None:
            shift = START_MS - batch[0][2]
        # As the service does it (engine/service/run.py).
        for part in alike(batch):
            first, now = part[0][1], part[0][2] + shift
            if len(part) > 1:
                payloads = [message.data for message, _, _ in part]
                subjects = [message.subject for message, _, _ in part]
                if processor.process_together(payloads, first, _STREAM, subjects, now) is not None:
                    continue
            for message, sequence, _ in part:
                processor.process(message.data, None, sequence, _STREAM, message.subject, now)

    return take, lambda: processor.alerts


class _NoBackpressure:
    full = False

    async def wait_for_room(self) -> None:
        """There is always room."""


async def _read(client: Client, name: str, messages: int, take: Take) -> tuple[float, float]:
    """Read the whole stream once; seconds of wall-clock time and of this process's CPU."""
    jetstream = client.jetstream(timeout=30.0)
    await jetstream.add_consumer(
        _STREAM, ConsumerConfig(durable_name=name, ack_policy=AckPolicy.ALL, max_ack_pending=messages + 1)
    )
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(error: BaseException) -> None:
        if not done.done():
            done.set_exception(error)

    def together(batch: list[Received]) -> None:
        take(batch)
        if batch[-1][1] == messages and not done.done():
            done.set_result(None)

    pull = Pull(
        client,
        f"$JS.API.CONSUMER.MSG.NEXT.{_STREAM}.{name}",
        batch=_BATCH,
        batch_bytes=_BATCH_BYTES,
        heartbeat=5.0,
        position=0,
        backpressure=_NoBackpressure(),
        handle=lambda *received: together([received]),
        ask_reopen=lambda reason: fail(RuntimeError(f"the pull stopped: {reason}")),
        on_failure=fail,
        together=together,
    )
    wall, cpu = perf_counter(), process_time()
    await pull.open()
    async with asyncio.timeout(_WAIT_SECONDS):
        await done
    found = perf_counter() - wall, process_time() - cpu
    await pull.discard()
    await jetstream.delete_consumer(_STREAM, name)
    return found
