"""A service whose rules change, with a real server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats

from engine.cli.running_rules import begin, in_force_at
from engine.service.checkpoints.sqlite import SqliteStore
from engine.service.embedded import EmbeddedServer
from engine.service.operations.operating import Operations
from engine.service.rules.processor import ReloadingProcessor
from engine.service.run import run
from engine.service.serve import run_loop
from engine.service.settings import Settings

RULES = """
EVENT a {{ host: string  x: int? }}
EVENT b {{ host: string }}
RULE chain {{ BY device, host  WHEN a [x > {limit}] THEN b WITHIN 10m  SEVERITY {severity} }}
"""
PATIENCE = 45.0


def text(limit: int = 3, severity: str = "medium") -> str:
    return RULES.format(limit=limit, severity=severity)


class Bench:
    """A server, a service with a state, and what it published."""

    def __init__(self, folder: Path, server: EmbeddedServer) -> None:
        self.folder = folder
        self.server = server
        self.settings = Settings(
            servers=(server.url,), token=server.token, commit_interval=0.05, checkpoint_interval=0.1
        )
        self.rules = folder / "rules"
        self.rules.mkdir(exist_ok=True)
        self.client: Any = None
        self.said: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.letters: list[Any] = []
        self.now = int(time.time() * 1000) - 30_000
        self.sent = 0
        self.watch: Any = None
        self._task: asyncio.Task[Any] | None = None
        self._stop = asyncio.Event()

    async def open(self) -> None:
        self.client = await nats.connect(self.server.url, token=self.server.token)

        async def on_alert(message: Any) -> None:
            # What is published again after a crash is stored once, and here it is heard once.
            if all(message.headers["Nats-Msg-Id"] != headers["Nats-Msg-Id"] for _, _, headers in self.said):
                self.said.append((message.subject, json.loads(message.data), dict(message.headers)))

        async def on_letter(message: Any) -> None:
            self.letters.append(message)

        await self.client.subscribe("alerts.>", cb=on_alert)
        await self.client.subscribe("dlq.thenwire.>", cb=on_letter)
        await self.client.flush()

    async def start(
        self, rules: str | None = None, *, warm_ms: int | None = None, **given: Any
    ) -> ReloadingProcessor:
        # It may ask a server in a loop of its own.
        processor, watch = await asyncio.to_thread(
            lambda: begin(
                [rules or str(self.rules)],
                (),
                self.settings,
                **{"max_skew_ms": 120_000, "watch": True, "exceptions": None, "off": None, **given},
            )
        )
        watch.warm_ms, self.watch = warm_ms, watch
        self._stop, ready = asyncio.Event(), asyncio.Event()

        def on_ready() -> None:
            in_force_at(watch, self.settings)
            ready.set()

        store = SqliteStore(self.folder / "test.state")
        self._task = asyncio.create_task(
            run(
                self.settings,
                processor,
                stop=self._stop,
                on_ready=on_ready,
                store=store,
                companions=[watch.run],
                observer=Operations(watch.reload, None, watch.status),
            )
        )
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()
        return processor

    async def stop(self) -> Any:
        assert self._task is not None
        self._stop.set()
        return await self._task

    async def kill(self) -> None:
        """As if the process had ended without a word."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def send(self, kind: str, **fields: Any) -> None:
        self.now += 10
        self.sent += 1
        event = {"kind": kind, "device": "d1", "time": self.now, "host": "h", "id": f"e{self.sent}", **fields}
        await self.client.jetstream().publish("events.x", json.dumps(event).encode())

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110  # what is waited for is in another task
            await asyncio.sleep(0.01)


def scenario(tmp_path: Path, binary: Path, act: Callable[[Bench], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            EmbeddedServer(tmp_path / "nats", binary=binary) as server,
        ):
            bench = Bench(tmp_path, server)
            await bench.open()
            try:
                await act(bench)
            finally:
                if bench._task is not None and not bench._task.done():
                    await bench.kill()
                await bench.client.close()

    run_loop(inside())
