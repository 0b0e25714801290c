"""A real nats-server for the tests of the service, and the service itself in a task.

Everything listens on 127.0.0.1 and is ended by its own process.
"""

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest

from engine.service.embedded import EmbeddedServer, find_server
from engine.service.errors import SettingsError
from engine.service.processor import Processor
from engine.service.run import RunReport, run
from engine.service.serve import run_loop
from engine.service.settings import Settings

_HERE = Path(__file__).parent
_PATIENCE_SECONDS = 60.0


def _load_fakes() -> Any:
    spec = importlib.util.spec_from_file_location("thenwire_fake_processor", _HERE / "fake_processor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tools:
    """What the tests share; made once for each test by the fixture `tools`."""

    fakes = _load_fakes()

    def __init__(self, binary: Path, directory: Path) -> None:
        self.binary = binary
        self.directory = directory

    def with_server(
        self, scenario: Callable[[EmbeddedServer], Awaitable[None]], *, patience: float = _PATIENCE_SECONDS
    ) -> None:
        """Run ``scenario`` against a fresh embedded server."""

        async def inside() -> None:
            async with asyncio.timeout(patience), self.embedded("nats") as server:
                await scenario(server)

        run_loop(inside())

    def embedded(self, name: str) -> EmbeddedServer:
        return EmbeddedServer(self.directory / name, binary=self.binary)

    @staticmethod
    def settings(server: EmbeddedServer, **changes: Any) -> Settings:
        return Settings(servers=(server.url,), token=server.token, commit_interval=0.05, **changes)

    @staticmethod
    @asynccontextmanager
    async def client(server: EmbeddedServer) -> AsyncIterator[Any]:
        connection = await nats.connect(server.url, token=server.token)
        try:
            yield connection
        finally:
            await connection.close()

    @staticmethod
    @asynccontextmanager
    async def service(settings: Settings, processor: Processor, **more: Any) -> AsyncIterator["Service"]:
        """The service in a task, ready; ``more`` is for `run`. Leaving stops it and fails if it failed."""
        stop, ready = asyncio.Event(), asyncio.Event()
        task = asyncio.ensure_future(run(settings, processor, stop=stop, on_ready=ready.set, **more))
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        service = Service(stop, task)
        try:
            yield service
        finally:
            stop.set()
            await asyncio.wait([task])
        task.result()

    @staticmethod
    async def until(condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; the time limit is that of the whole scenario."""
        while not condition():  # noqa: ASYNC110  # what is waited for is in another process or has no event
            await asyncio.sleep(0.005)

    def plain_server(self, name: str) -> "PlainServer":
        return PlainServer(self.binary, self.directory / name)

    @contextmanager
    def process(self, settings: str, log: Path) -> Iterator["subprocess.Popen[str]"]:
        """The service as a process of its own, ready."""
        root = str(_HERE.parent.parent)
        child = subprocess.Popen(
            [sys.executable, str(_HERE / "fake_processor.py"), settings, str(log)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            assert line.startswith("READY"), f"the service did not start: {line!r}"
            yield child
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


class Service:
    def __init__(self, stop: asyncio.Event, task: "asyncio.Future[RunReport]") -> None:
        self._stop = stop
        self.task = task

    async def stopped(self) -> RunReport:
        self._stop.set()
        return await self.task


class PlainServer:
    """A server on a fixed port without a token, so that it can be killed and come back as it was."""

    def __init__(self, binary: Path, directory: Path, *, configuration: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"nats://127.0.0.1:{self.port}"
        self._binary = binary
        self._directory = directory
        self._configuration = configuration
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, text: str) -> None:
        self._configuration = text

    def start(self) -> None:
        path = self._directory / "server.conf"
        path.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self._directory}" }}\n'
            f'log_file: "{self._directory}/server.log"\n' + self._configuration
        )
        self._process = subprocess.Popen([str(self._binary), "-c", str(path)], stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> "PlainServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


@pytest.fixture(scope="session")
def server_binary() -> Path:
    try:
        return find_server(None, os.environ)
    except SettingsError as error:
        pytest.skip(f"needs a real server: {error}")


@pytest.fixture
def tools(server_binary: Path, tmp_path: Path) -> Tools:
    return Tools(server_binary, tmp_path)
