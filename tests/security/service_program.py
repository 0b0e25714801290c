"""``thenwire run`` as a program of its own, as somebody types it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[2]


class Program:
    """A context manager: it is killed on leaving unless it has ended.

    Args:
        arguments: the words after ``thenwire``.
        directory: its home, and where its log is.
        environment: further variables.
    """

    def __init__(
        self, arguments: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.state_home = directory / "state-home"
        self._arguments = list(arguments)
        self._log = directory / "service.log"
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "XDG_STATE_HOME": str(self.state_home),
            "HOME": str(directory),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Program:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine.cli", *self._arguments],
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    @property
    def said(self) -> str:
        """All of it so far."""
        return self._log.read_text(errors="replace")

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        assert self._process is not None
        return self._process.poll() is not None

    async def ended(self, seconds: float = 30.0) -> int:
        """The exit code, when it has ended by itself."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, seconds)

    async def stopped(self) -> int:
        """The exit code after SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def says(self, sentence: str, seconds: float = 30.0) -> None:
        """Return when it has said that. Raises `AssertionError` when it ends before, or is late."""
        try:
            async with asyncio.timeout(seconds):
                while sentence not in self.said:
                    assert not self.has_ended, f"it ended and never said {sentence!r}: {self.said[-2000:]}"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"it never said {sentence!r}: {self.said[-2000:]}") from None
