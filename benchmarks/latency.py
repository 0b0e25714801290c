"""From an event published to its alert received: the whole service as a process, at half of what it can do.

First everything is sent at once, which gives the most that this machine can do with sender, server and
service
on it; then as much again at half of that rate, which is measured.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, time

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks.generate import flows
from benchmarks.generate.draw import START_MS
from benchmarks.result import LatencyResult
from benchmarks.works import w1
from engine.service.connection import Connection
from engine.service.embedded import EmbeddedServer, find_server
from engine.service.settings import Settings

EVENTS = 150_000
_SLICE_SECONDS = 0.002
_WAIT_SECONDS = 60.0
_REST_SECONDS = 1.0
_SUBJECT = "events.bench"
_TIME = re.compile(rb'"time":(\d+),"id":"(\d+)"')


class _Step(msgspec.Struct):
    event_id: str


class _Alert(msgspec.Struct):
    steps: list[_Step]


class TooSlow(Exception):
    """The service did not start, or an alert did not come."""


def measure(seed: int) -> LatencyResult:
    """Measure it.

    Raises:
        ServiceError, SettingsError: no server can be found or started.
        TooSlow: see there.
    """
    return asyncio.run(_measure(seed))


async def _measure(seed: int) -> LatencyResult:
    with tempfile.TemporaryDirectory(prefix="thenwire-bench-") as folder:
        rules = Path(folder) / "w1.rule"
        rules.write_text(w1.RULES, encoding="utf-8")
        binary = find_server(None, os.environ)
        async with EmbeddedServer(Path(folder) / "nats", binary=binary) as server:
            connection = Connection(Settings(servers=(server.url,), token=server.token))
            await connection.open()
            service = await _start(rules, server.url, server.token, Path(folder) / "service.log")
            try:
                return await _run(connection.client, seed)
            finally:
                service.terminate()
                await service.wait()
                await connection.close()


async def _start(rules: Path, url: str, token: str, log: Path) -> asyncio.subprocess.Process:
    """The service, once it reads."""
    command = [sys.executable, "-m", "engine.cli", "run", "--rules", str(rules), "--max-skew", "36500d"]
    environment = dict(
        os.environ,
        NATS_URL=url.replace("://", f"://{token}@", 1),
        # What it stores goes with the folder, and it finds nothing of another run.
        XDG_STATE_HOME=str(log.parent / "state"),
        PYTHONUNBUFFERED="1",
    )
    with log.open("wb") as out:
        service = await asyncio.create_subprocess_exec(
            *command, stdout=out, stderr=out, cwd=log.parent, env=_importing(environment)
        )
    until = perf_counter() + _WAIT_SECONDS
    while "running" not in (said := await asyncio.to_thread(log.read_text, errors="replace")):
        if service.returncode is not None or perf_counter() > until:
            raise TooSlow(f"the service does not start: {said[-400:]}")
        await asyncio.sleep(0.05)
    return service


def _importing(environment: dict[str, str]) -> dict[str, str]:
    """The service runs in another folder, so that what it writes is gone with that; it has to find the
    checkout.
    """
    root = str(Path(__file__).parents[1])
    before = environment.get("PYTHONPATH")
    return dict(environment, PYTHONPATH=root if before is None else root + os.pathsep + before)


async def _run(client: Client, seed: int) -> LatencyResult:
    events = _events(seed, 2 * EVENTS)
    right = set(_completing([line for _, line in events]))
    received: dict[str, float] = {}
    changed = asyncio.Event()

    async def take(message: Msg) -> None:
        alert = msgspec.json.decode(message.data, type=_Alert)
        received.setdefault(alert.steps[-1].event_id, perf_counter())
        changed.set()

    await client.subscribe("alerts.>", cb=take)
    await client.flush()

    async def all_of(wanted: set[str]) -> None:
        async with asyncio.timeout(_WAIT_SECONDS):
            while not wanted <= received.keys():
                changed.clear()
                await changed.wait()

    first, second = events[:EVENTS], events[EVENTS:]
    begin = perf_counter()
    await _send(client, first, None)
    before = {name for name, _ in first} & right
    try:
        await all_of(before)
        # The last alert came with one of the last events: so much has been done by then.
        rate = EVENTS / (max(received[name] for name in before) - begin)
        # Nothing of the first half is to stand before the second.
        await asyncio.sleep(_REST_SECONDS)
        sent = await _send(client, second, rate / 2)
        wanted = {name for name, _ in second} & right
        await all_of(wanted)
    except TimeoutError:
        raise TooSlow(f"{len(received)} of {len(right)} alerts came within {_WAIT_SECONDS:g} s") from None
    delays = sorted((received[name] - sent[name]) * 1000 for name in wanted)
    return LatencyResult(
        events=EVENTS,
        most_per_second=rate,
        per_second=EVENTS / (max(sent.values()) - min(sent.values())),
        alerts=len(received),
        expected=len(right),
        p50_ms=_at(delays, 0.50),
        p99_ms=_at(delays, 0.99),
        max_ms=delays[-1],
    )


def _events(seed: int, count: int) -> list[tuple[str, bytes]]:
    """Identifier and bytes, from now on: by their real times all of them would be too late."""
    shift = int(time() * 1000) - START_MS
    found: list[tuple[str, bytes]] = []
    for line in flows.lines(count, seed):
        match = _TIME.search(line)
        assert match is not None
        moved = b'"time":%d,"id":"%s"' % (int(match[1]) + shift, match[2])
        found.append((match[2].decode(), line[: match.start()] + moved + line[match.end() :]))
    return found


def _completing(lines: list[bytes]) -> list[str]:
    """The identifiers of the events that complete a match."""
    from benchmarks.brute_force import latest_pairs

    of_time = {int(match[1]): match[2].decode() for line in lines if (match := _TIME.search(line))}
    return [of_time[second] for _, _, second in latest_pairs(lines, [w1.PAIR])]


async def _send(client: Client, events: list[tuple[str, bytes]], rate: float | None) -> dict[str, float]:
    """Send them, so many a second; when each was sent."""
    sent: dict[str, float] = {}
    begin = perf_counter()
    done = 0
    publish: Callable[[str, bytes], object] = client.publish
    while done < len(events):
        due = done + 200 if rate is None else min(len(events), int((perf_counter() - begin) * rate))
        for name, line in events[done:due]:
            sent[name] = perf_counter()
            await publish(_SUBJECT, line)  # type: ignore[misc]  # a coroutine
        done = max(done, due)
        await asyncio.sleep(0 if rate is None else _SLICE_SECONDS)
    await client.flush()
    return sent


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]
