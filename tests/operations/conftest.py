"""A real server and a running service with its operations; the tools are those of tests/service."""

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import dsl
from engine.service.matching import MatchingProcessor
from engine.service.operations.operating import Operations
from engine.service.run import run

_SERVICE = Path(__file__).parent.parent / "service" / "conftest.py"
RULES = """
EVENT flow { host: string bytes_out: int app: string? }
EVENT crash { app: string? }
BASELINE egress = bytes_out OF flow BY device EVERY 1h USING robust WARMUP 5
RULE exfil_then_crash {
  WHEN flow[bytes_out > 1000] AS f THEN crash AS c WITHIN 5m
}
RULE busy { WHEN flow AS f THEN flow AS g WITHIN 1s }
"""


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("thenwire_service_conftest", _SERVICE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)
    spec.loader.exec_module(module)
    return module


_shared = _load()
server_binary = _shared.server_binary
tools = _shared.tools


class Running:
    """A service that is being observed."""

    def __init__(self, operations: Operations, processor: MatchingProcessor) -> None:
        self.operations = operations
        self.processor = processor
        self.stop = asyncio.Event()
        self.task: asyncio.Future[Any] | None = None

    async def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body of a page."""
        host, _, port = self.operations.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        raw = await reader.read()
        writer.close()
        head, _, body = raw.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    async def until_page(self, path: str, status: int) -> str:
        """Wait until the page answers with a status; its body. The time limit is the scenario's."""
        while True:
            got, body = await self.get(path)
            if got == status:
                return body
            await asyncio.sleep(0.02)


class Operating:
    """What the tests of operations share."""

    rules = RULES

    @staticmethod
    def processor(text: str = RULES) -> MatchingProcessor:
        ruleset = dsl.load_text(text)
        assert not ruleset.errors, [d.message for d in ruleset.errors]
        return MatchingProcessor(ruleset)

    @staticmethod
    @asynccontextmanager
    async def service(settings: Any, processor: Any = None, **options: Any) -> AsyncIterator[Running]:
        """A service with operations; leaving stops it and fails if it failed."""
        running = Running(Operations(**options), processor or Operating.processor())
        ready = asyncio.Event()
        task = asyncio.ensure_future(
            run(
                settings,
                running.processor,
                stop=running.stop,
                on_ready=ready.set,
                observer=running.operations,
            )
        )
        running.task = task
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        try:
            yield running
        finally:
            running.stop.set()
            await asyncio.wait([task])
        task.result()

    @staticmethod
    async def ask(client: Any, endpoint: str, request: Any = None, consumer: str = "thenwire") -> Any:
        """The decoded answer, or (code, sentence) of an error."""
        data = b"" if request is None else json.dumps(request).encode()
        answer = await client.request(f"thenwire.api.{consumer}.{endpoint}", data, timeout=30)
        headers = answer.headers or {}
        if "Nats-Service-Error-Code" in headers:
            return headers["Nats-Service-Error-Code"], headers["Nats-Service-Error"]
        return json.loads(answer.data)


@pytest.fixture
def operating() -> type[Operating]:
    return Operating
