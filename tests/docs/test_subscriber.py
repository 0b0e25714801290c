"""The subscriber of the how-to page, as it stands there, on a real server with the service running."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import nats
import pytest
from doc_pages import DOCS, ROOT, blocks

import dsl
from engine.service.embedded import EmbeddedServer, find_server
from engine.service.errors import ServiceError
from engine.service.matching import MatchingProcessor
from engine.service.run import run
from engine.service.serve import run_loop
from engine.service.settings import Settings

RULES = """
EVENT net flow { app: string  bytes_out: int UNIT bytes }
EVENT app exit { app: string  class: string }
RULE upload then crash {
  BY device, app
  WHEN net flow [bytes_out > 1MB] THEN app exit [class == "codesign"] WITHIN 10m
  SEVERITY high
}
"""
PATIENCE_SECONDS = 60


@pytest.fixture
def binary() -> Path:
    try:
        return find_server(None, os.environ)
    except ServiceError as error:
        pytest.skip(f"needs a real server: {error}")


def subscriber() -> str:
    page = DOCS / "how-to" / "subscribe-to-alerts.md"
    return next(block.text for block in blocks(page) if block.file == "subscriber.py")


def test_the_subscriber_of_the_page_prints_an_alert(tmp_path: Path, binary: Path) -> None:
    script = tmp_path / "subscriber.py"
    script.write_text(subscriber(), "utf-8")

    async def scenario() -> bytes:
        async with EmbeddedServer(tmp_path / "nats", binary=binary) as server:
            stop, ready = asyncio.Event(), asyncio.Event()
            settings = Settings(servers=(server.url,), token=server.token)
            processor = MatchingProcessor(dsl.load_text(RULES))
            service = asyncio.create_task(run(settings, processor, stop=stop, on_ready=ready.set))
            await ready.wait()
            address = server.url.replace("nats://", f"nats://{server.token}@")
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                str(script),
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "NATS_URL": address, "PYTHONPATH": str(ROOT)},
            )
            try:
                await _publish(server)
                assert child.stdout is not None
                return await child.stdout.readline()
            finally:
                child.kill()
                await child.wait()
                stop.set()
                await service

    async def bounded() -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await scenario()

    assert run_loop(bounded()) == b"create high upload then crash\n"


async def _publish(server: EmbeddedServer) -> None:
    client = await nats.connect(server.url, token=server.token)
    stream = client.jetstream()
    flow = {"kind": "net.flow", "device": "d1", "time": 1_000, "app": "a", "bytes_out": 2_000_000}
    end = {"kind": "app.exit", "device": "d1", "time": 61_000, "app": "a", "class": "codesign"}
    for event in (flow, end):
        await stream.publish("events.test", msgspec.json.encode(event))
    await client.close()
