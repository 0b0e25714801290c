"""``thenwire run`` as a process of its own, started again and again on the same state."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from workload import RULES

_HERE: Final = Path(__file__).parent
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
"""Twice the default of ``stop_timeout``."""


class Service:
    """Args:
    directory: for the logs, and the state unless another place is given.
    url: of the server.
    checkpoint: the interval.
    broken: a fault of child.py, for the controls.
    state: the state file.
    options: further words of the command line.
    environment: further variables.
    """

    def __init__(
        self,
        directory: Path,
        url: str,
        *,
        checkpoint: str = "300ms",
        broken: str | None = None,
        state: Path | str | None = None,
        rules: Path = RULES,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.state = state or directory / "state.db"
        self._directory = directory
        self._broken = broken
        self._arguments = ["run", "--rules", str(rules), "--servers", url, "--state", str(self.state)]
        self._arguments += ["--checkpoint-interval", checkpoint, "--log-format", "console", *options]
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(_HERE.parents[1]),
            "PYTHONFAULTHANDLER": "1",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def start(self, *, broken: str | None = None) -> None:
        """Start it; see `ready`. ``broken`` is a fault for this time only."""
        self._starts += 1
        fault = broken or self._broken
        program = ["-m", "engine.cli"] if fault is None else [str(_HERE / "child.py"), fault]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *program, *self._arguments],
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the present one."""
        assert self._process is not None
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """What the present one says."""
        return self._directory / f"service-{self._starts}.log"

    def log(self) -> str:
        """What the present one has said so far, its lines joined: a sentence may be wrapped."""
        return " ".join(self.log_file.read_text(errors="replace").split())

    def is_ready(self) -> bool:
        """Whether it reads the stream."""
        return re.search(r"\brunning \d+ rule", self.log()) is not None

    async def ready(self) -> None:
        """Return when it reads the stream. Raises `AssertionError` with its last words when it ended."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            self.check()
            assert time.monotonic() < deadline, f"the service did not start: {self.log()[-2000:]}"
            await asyncio.sleep(0.02)

    async def says(self, sentence: str, seconds: float = 30.0) -> None:
        """Return when it has said that, whether or not it has ended."""
        deadline = time.monotonic() + seconds
        while sentence not in self.log():
            assert time.monotonic() < deadline, f"the service never said {sentence!r}: {self.log()[-2000:]}"
            await asyncio.sleep(0.05)

    def check(self) -> None:
        """Raises `AssertionError` if it ended by itself."""
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"the service ended with {code}: {self.log()[-2000:]}"

    def limit_files(self, most: int | None) -> None:
        """No file that it writes may grow beyond so many bytes, as on a full disk. None: no limit."""
        limit = resource.RLIM_INFINITY if most is None else most
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def kill(self) -> None:
        """SIGKILL."""
        self.check()
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; the stream sequence up to which it has done everything."""
        assert self._process is not None
        self.check()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.to_thread(self._process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Where it hangs is then in its log.
            self._process.send_signal(signal.SIGABRT)
            code = await asyncio.to_thread(self._process.wait)
        said = re.search(r"acknowledged up to (\d+)", self.log())
        assert code == 0, f"the service ended with {code}: {self.log()[-6000:]}"
        assert said is not None, self.log()[-2000:]
        return int(said[1])

    async def ended(self, seconds: float = 30.0) -> int:
        """The exit code, when it has ended by itself."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, seconds)

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
