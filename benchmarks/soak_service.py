"""``python -m benchmarks.soak_service``: ``thenwire run`` for half an hour at half of what it can do.

First every device is heard of once, so that the state is as large as it will be. Then as much as can be sent
is sent at once, which gives the capacity with sender, server and service on this machine. Then half of that
rate, and once a second what the service says of itself: memory, lag, how long checkpoints take and hold the
loop.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from statistics import linear_regression
from typing import Any, Final

import msgspec
import nats
from rich.console import Console
from rich.table import Table

from benchmarks.long_run import bar
from benchmarks.soak_parts import TOGETHER, Fleet, Sender, Service
from engine.service.embedded import EmbeddedServer, find_server

_CAPACITY_EVENTS: Final = 400_000
_WAIT_SECONDS: Final = 600.0
_STEP_SECONDS: Final = 0.02


class Sample(msgspec.Struct, frozen=True):
    """What one second looked like: bytes, messages, seconds."""

    at: float
    resident: int
    lag: int
    checkpoint: float
    checkpoint_bytes: float


class Quantiles(msgspec.Struct, frozen=True):
    """Of many values."""

    p50: float
    p99: float
    most: float
    count: int


class Soak(msgspec.Struct, frozen=True):
    """What a run found. ``wrong`` are sentences; empty: all is as it should be."""

    devices: int
    minutes: float
    capacity: float
    rate: float
    sent: int
    resident_begin: int
    resident_end: int
    slope: float
    """Of the resident memory over the second half, in bytes an hour."""
    lag: Quantiles
    """In events."""
    cut_ms: Quantiles
    """How long the cut of a checkpoint held the event loop; there is one in each."""
    slice_ms: Quantiles
    """How long a slice of the packing held it."""
    collections_ms: dict[str, Quantiles]
    """How long the collector of cycles held it, by generation."""
    own_ms: dict[str, Quantiles]
    """Of each of these the time that the service itself worked in it: a busy machine changes it less."""
    loop_ms: Quantiles
    """How late the loop was for a timer that is due every 10 ms, where it was more than 1: all that holds it,
    the matching of messages and other programs on the machine included."""
    cycles: int
    """Objects that only a collection of all there is would have freed, at the end."""
    checkpoint_ms: Quantiles
    """From the cut to the end, of those that were seen."""
    checkpoint_bytes: float
    alerts: int
    samples: list[Sample]
    wrong: list[str]


async def soak(devices: int, minutes: float, seed: int, progress: Callable[[str, int, int], None]) -> Soak:
    """Run it.

    Raises:
        ServiceError, SettingsError: no server can be found or started.
        RuntimeError: the service ended by itself.
        TimeoutError: it did not read what was sent.
    """
    async with _everything() as (client, service):
        fleet, sender = Fleet(devices, seed), Sender(client)
        for begin in range(0, devices, TOGETHER):
            await sender.send(fleet.first(begin))
            progress("devices", begin + TOGETHER, devices)
        await sender.done()
        await _caught_up(client, service)
        begun = time.monotonic()
        for number in range(_CAPACITY_EVENTS // TOGETHER):
            await sender.send(fleet.message())
            progress("capacity", number * TOGETHER, _CAPACITY_EVENTS)
        await sender.done()
        await _caught_up(client, service)
        capacity = _CAPACITY_EVENTS / (time.monotonic() - begun)
        service.holds.write_text("")
        before = sender.messages
        samples = await _steady(service, fleet, sender, capacity / 2, minutes * 60, progress)
        sent = (sender.messages - before) * TOGETHER
        await _caught_up(client, service)
        alerts = (await client.jetstream().stream_info("ALERTS")).state.messages
        holds_until = len(service.holds.read_text())
        await service.count_cycles()
        await service.stop()
        written = service.holds.read_text()
        # The full collection for the count is none of the run's.
        holds = [line.split() for line in written[:holds_until].splitlines()]
        holds += [line.split() for line in written.splitlines() if line.startswith("cycles")]
    return _result(devices, minutes, capacity, sent, samples, holds, alerts)


@contextlib.asynccontextmanager
async def _everything() -> AsyncIterator[tuple[Any, Service]]:
    with tempfile.TemporaryDirectory(prefix="thenwire-soak-") as name:
        folder = Path(name)
        async with EmbeddedServer(folder / "nats", binary=find_server(None, os.environ)) as server:
            client = await nats.connect(server.url, token=server.token)
            service = Service(folder, server)
            try:
                await service.ready()
                # A soak of half an hour is some hundred million events, and nobody reads them again.
                config = (await client.jetstream().stream_info("EVENTS")).config
                config.max_age = 120.0
                config.duplicate_window = 60.0
                await client.jetstream().update_stream(config)
                yield client, service
            finally:
                await service.stop()
                await client.close()


async def _steady(
    service: Service,
    fleet: Fleet,
    sender: Sender,
    rate: float,
    seconds: float,
    progress: Callable[[str, int, int], None],
) -> list[Sample]:
    """Send at a rate of so many events a second for a while; one sample a second."""
    samples: list[Sample] = []
    # The stream has ticks, too.
    ahead = int((await service.metrics())["thenwire_input_sequence"]) - sender.messages
    begin = time.monotonic()
    sampling: asyncio.Task[Sample] | None = None
    before = sender.messages
    while (elapsed := time.monotonic() - begin) < seconds:
        due = int(elapsed * rate / TOGETHER) - (sender.messages - before)
        for _ in range(due):
            await sender.send(fleet.message())
        if elapsed >= len(samples) + 1 and (sampling is None or sampling.done()):
            if sampling is not None:
                samples.append(sampling.result())
            sampling = asyncio.create_task(_sample(service, sender, ahead, elapsed))
            progress("seconds", int(elapsed), int(seconds))
        await asyncio.sleep(_STEP_SECONDS)
    await sender.done()
    return samples


async def _sample(service: Service, sender: Sender, ahead: int, at: float) -> Sample:
    service.check()
    sent = sender.messages + ahead
    found = await service.metrics()
    return Sample(
        at=at,
        resident=service.resident(),
        lag=max(0, sent - int(found["thenwire_input_sequence"])),
        checkpoint=found.get("thenwire_checkpoint_duration_seconds", 0.0),
        checkpoint_bytes=found.get("thenwire_checkpoint_bytes", 0.0),
    )


async def _caught_up(client: Any, service: Service) -> None:
    last = (await client.jetstream().stream_info("EVENTS")).state.last_seq
    async with asyncio.timeout(_WAIT_SECONDS):
        while (await service.metrics())["thenwire_input_sequence"] < last:
            service.check()
            await asyncio.sleep(0.1)


def _result(
    devices: int,
    minutes: float,
    capacity: float,
    sent: int,
    samples: list[Sample],
    holds: list[list[str]],
    alerts: int,
) -> Soak:
    second_half = samples[len(samples) // 2 :]
    slope, _ = linear_regression([one.at for one in second_half], [one.resident for one in second_half])
    lag = _quantiles([float(one.lag * TOGETHER) for one in samples])

    def of(wanted: str, column: int = 1) -> Quantiles:
        return _quantiles([float(line[column]) * 1000 for line in holds if line[0] == wanted])

    cut, slices = of("cut"), of("slice")
    collections = {generation: of(generation) for generation in ("young", "older", "full")}
    wrong = [
        f"{name} hold the loop {one.p99:.1f} ms at p99; 20 is the most"
        for name, one in (
            ("the cuts of checkpoints", cut),
            ("the slices of checkpoints", slices),
            *((f"{generation} collections", one) for generation, one in collections.items()),
        )
        if one.p99 > 20.0
    ]
    # Bytes a second, over the seconds of the second half.
    growth = slope * minutes * 30
    if growth > 0.05 * samples[-1].resident:
        wrong.append(f"the memory grew by {growth / 1e6:.0f} MB in the second half")
    if second_half[-1].lag * TOGETHER > capacity * 10:
        wrong.append(f"it was {second_half[-1].lag * TOGETHER:,} events behind at the end")
    return Soak(
        devices=devices,
        minutes=minutes,
        capacity=round(capacity),
        rate=round(capacity / 2),
        sent=sent,
        resident_begin=samples[0].resident,
        resident_end=samples[-1].resident,
        slope=slope * 3600,
        lag=lag,
        cut_ms=cut,
        slice_ms=slices,
        collections_ms=collections,
        own_ms={what: of(what, 2) for what in ("cut", "slice", "young", "older", "full")},
        loop_ms=of("loop"),
        cycles=sum(int(line[1]) for line in holds if line[0] == "cycles"),
        checkpoint_ms=_quantiles([one.checkpoint * 1000 for one in samples]),
        checkpoint_bytes=samples[-1].checkpoint_bytes,
        alerts=alerts,
        samples=samples,
        wrong=wrong,
    )


def _quantiles(values: list[float]) -> Quantiles:
    if not values:
        return Quantiles(0.0, 0.0, 0.0, 0)
    values = sorted(values)
    last = len(values) - 1
    return Quantiles(values[last // 2], values[round(last * 0.99)], values[-1], len(values))


def show(result: Soak, console: Console) -> None:
    """As tables."""
    console.print(
        f"{result.devices:,} devices; capacity {result.capacity:,.0f} events/s; {result.minutes:g} minutes "
        f"at {result.rate:,.0f}: {result.sent:,} events, {result.alerts:,} alerts"
    )
    console.print(
        f"resident {result.resident_begin / 1e6:,.0f} MB, at the end {result.resident_end / 1e6:,.0f} MB; "
        f"slope of the second half {result.slope / 1e6:+,.1f} MB an hour"
    )
    table = Table("", "p50", "p99", "most", "values")
    for name, one in (
        ("lag, events", result.lag),
        ("a cut holds the loop, ms", result.cut_ms),
        ("a slice holds the loop, ms", result.slice_ms),
        *((f"a collection, {name}, holds it, ms", one) for name, one in result.collections_ms.items()),
        *((f"{what}: own work, ms", one) for what, one in result.own_ms.items()),
        ("the loop is late for a timer, ms", result.loop_ms),
        ("checkpoint in all, ms", result.checkpoint_ms),
    ):
        table.add_row(name, f"{one.p50:,.1f}", f"{one.p99:,.1f}", f"{one.most:,.1f}", f"{one.count:,}")
    console.print(table)
    console.print(f"objects in cycles that nothing frees: {result.cycles:,}")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 all right, 1 something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak_service", description=__doc__)
    parser.add_argument("--short", action="store_true", help="2,000 devices for a quarter of a minute")
    parser.add_argument("--minutes", type=float, help="of the steady part (default: 30)")
    parser.add_argument("--devices", type=int, help="heard of (default: 200000)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, every sample included")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: 1)")
    options = parser.parse_args(arguments)
    devices = options.devices or (2_000 if options.short else 200_000)
    minutes = options.minutes or (0.25 if options.short else 30.0)
    with bar() as display:
        tasks: dict[str, Any] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = display.add_task(name, total=total)
            display.update(tasks[name], completed=done)

        result = asyncio.run(soak(devices, minutes, options.seed, progress))
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        show(result, Console(width=None if sys.stdout.isatty() else 120))
    for sentence in result.wrong:
        Console(stderr=True).print(f"WRONG: {sentence}", style="bold red")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
