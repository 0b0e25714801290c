"""A NATS server with a given configuration, and the service's connection to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from engine.service.connection import Connection
from engine.service.errors import ServiceError
from engine.service.serve import run_loop
from engine.service.settings import Settings, load_settings

_PATIENCE_SECONDS = 20.0


class Broker:
    """A server on a port of its own choice on 127.0.0.1, ended by its process id."""

    def __init__(
        self,
        binary: Path,
        directory: Path,
        configuration: str = "",
        scheme: str = "nats",
        domain: str | None = None,
    ) -> None:
        self.directory = directory
        self._domain = "" if domain is None else f", domain: {domain}"
        self.port = 0
        self._binary = binary
        self._configuration = configuration
        self._scheme = scheme
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.address}"

    @property
    def log(self) -> str:
        return (self.directory / "server.log").read_text("utf-8")

    def configure(self, configuration: str) -> None:
        """Another configuration on the same port; returns when the running server has taken it over."""
        self._configuration = configuration
        self._write()
        assert self._process is not None
        before = len(self.log)
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while "Reloaded server configuration" not in (said := self.log[before:]):
            # A server that refuses says so and goes on with the configuration before.
            assert "Failed to reload" not in said, said
            assert time.monotonic() < deadline, f"the server did not take the configuration over: {said}"
            time.sleep(0.01)

    def restart(self) -> None:
        """Kill the server at once and start it again on the same port."""
        assert self._process is not None
        self._process.kill()
        self.__exit__()
        for ports in self.directory.glob("*.ports"):
            ports.unlink()
        self.__enter__()

    def _write(self) -> Path:
        path = self.directory / "server.conf"
        path.write_text(
            f'listen: "127.0.0.1:{self.port or -1}"\n'
            f'ports_file_dir: "{self.directory}"\n'
            f'log_file: "{self.directory}/server.log"\n'
            f'jetstream {{ store_dir: "{self.directory}"{self._domain} }}\n{self._configuration}\n'
        )
        return path

    def __enter__(self) -> Broker:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self._write()
        self._process = subprocess.Popen(
            [str(self._binary), "-c", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"the server ended: {self._said()}"
            for ports in self.directory.glob("*.ports"):
                with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
                    content = json.loads(ports.read_text())
                    found = content.get("nats") or content["tls"]
                    self.port = int(found[0].rpartition(":")[2])
                    return self
            time.sleep(0.01)
        raise AssertionError("the server did not come up")

    def _said(self) -> str:
        assert self._process is not None
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):
            return self._process.stderr.read().decode() + self.log
        return ""

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()


def connect(mapping: dict[str, Any], environment: dict[str, str] | None = None) -> str:
    """Log in as the service does: ``connected``, or the sentence with which it ends."""
    try:
        settings = load_settings({"connect_timeout": 10, **mapping}, environment or {})
        return run_loop(_connect(settings))
    except ServiceError as error:
        return str(error)


async def _connect(settings: Settings) -> str:
    connection = Connection(settings)
    try:
        await connection.open()
        await asyncio.wait_for(connection.client.flush(), 5)
        if connection.failed.done():
            connection.failed.result()
        return "connected"
    finally:
        await connection.close()
