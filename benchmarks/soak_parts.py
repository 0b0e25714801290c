"""What a soak of the service needs: events of a fleet, a sender, and the service as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from random import Random
from typing import Any, Final

from engine.service.embedded import EmbeddedServer

# What the rules keep ends within a quarter of an hour, so that half an hour shows whether the memory is flat.
RULES: Final = """
EVENT net flow GRACE 5s LATE 2m { app: string bytes_out: int }
EVENT app exit GRACE 5s LATE 2m { app: string class: string }
EVENT sensor beat GRACE 5s LATE 2m { sensor: string }
BASELINE sent = bytes_out OF net flow BY device USING robust WARMUP 30
RULE upload then crash {
  BY device, app
  WHEN net flow [bytes_out > 1MB] AS upload THEN app exit [class == "memory_violation"] AS crash WITHIN 2m
}
RULE silent sensor { WHEN sensor beat AS beat THEN NO sensor beat FOR 6m }
RULE crash loop { WHEN AT LEAST 4 app exit IN 2m AS exits SUPPRESS 10m PER device }
RULE odd { WHEN net flow [deviation(sent) >= 6] AS flow THEN app exit AS crash WITHIN 30s }
"""
TOGETHER: Final = 50
"""Events in a message."""
SENSORS: Final = 10
"""One device in so many has a sensor that sends heartbeats: at 6,000 events a second and 200,000 devices each
three minutes, so that some are silent for as long as the rule has it, all the time."""
_IN_FLIGHT: Final = 400


class Fleet:
    """Messages of events of random devices."""

    def __init__(self, devices: int, seed: int) -> None:
        self.devices = devices
        self._random = Random(seed)

    def message(self) -> bytes:
        """Events of now."""
        random, now = self._random.random, int(time.time() * 1000)
        return b"\n".join([self._event(int(random() * self.devices), now, random()) for _ in range(TOGETHER)])

    def first(self, begin: int) -> bytes:
        """One event of each of the devices from ``begin`` on, which begins a run."""
        now = int(time.time() * 1000)
        return b"\n".join(
            [self._event(device, now, 0.02) for device in range(begin, min(begin + TOGETHER, self.devices))]
        )

    @staticmethod
    def _event(device: int, now: int, how: float) -> bytes:
        if how < 0.02:
            device -= device % SENSORS
            return b'{"kind":"sensor.beat","device":"device-%06d","time":%d,"sensor":"s"}' % (device, now)
        if how < 0.03:
            amount = 2_000_000
        elif how < 0.035:
            text = (
                b'{"kind":"app.exit","device":"device-%06d","time":%d,"app":"a","class":"memory_violation"}'
            )
            return text % (device, now)
        else:
            amount = 500 + int(how * 10_000) % 997
        return b'{"kind":"net.flow","device":"device-%06d","time":%d,"app":"a","bytes_out":%d}' % (
            device,
            now,
            amount,
        )


class Sender:
    """Publishes with a bounded number of messages without an answer, so that JetStream drops none."""

    def __init__(self, client: Any) -> None:
        self._jetstream = client.jetstream(timeout=30.0, publish_async_max_pending=_IN_FLIGHT)
        self.messages = 0

    async def send(self, payload: bytes) -> None:
        """Wait for room, and publish."""
        self.messages += 1
        await self._jetstream.publish_async("events.soak", payload, wait_stall=30.0)

    async def done(self) -> None:
        """All are stored."""
        await self._jetstream.publish_async_completed()


class Service:
    """The service as a process, and what it says of itself."""

    def __init__(self, folder: Path, server: EmbeddedServer) -> None:
        self.holds = folder / "holds"
        self._log = folder / "service.log"
        rules = folder / "soak.rule"
        rules.write_text(RULES)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self._metrics = f"http://127.0.0.1:{port}/metrics"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "benchmarks.soak_child", str(self.holds), "run"),
                    *("--rules", str(rules), "--servers", server.url, "--state", str(folder / "state.db")),
                    *("--http", str(port), "--log-format", "console"),
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, "NATS_TOKEN": server.token},
            )

    async def ready(self) -> None:
        """Raises `RuntimeError` with its last words if it ended."""
        while "running 4 rules" not in self.log():
            self.check()
            await asyncio.sleep(0.1)

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    def check(self) -> None:
        """Raises `RuntimeError` if it ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the service ended: {self.log()[-2000:]}")

    def resident(self) -> int:
        """Its memory in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    async def metrics(self) -> dict[str, float]:
        """By name; of one with labels the sum."""
        text = await asyncio.to_thread(self._fetch)
        found: dict[str, float] = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                found[name] = found.get(name, 0.0) + float(value)
        return found

    def _fetch(self) -> str:
        with urllib.request.urlopen(self._metrics, timeout=30.0) as answer:
            return str(answer.read().decode())

    async def count_cycles(self) -> None:
        """Have it write down how many objects only a collection of all there is would free."""
        self._process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(60.0):
            while "cycles" not in self.holds.read_text():
                self.check()
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """SIGTERM; SIGKILL after a minute."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self._process.wait, 60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
