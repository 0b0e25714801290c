"""What the tests of disturbances share."""

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from checking import floor
from service_running import Run, running

from engine.service.serve import run_loop

_PATIENCE_SECONDS: Final = 120.0
CANNOT_STORE: Final = "Nothing is acknowledged until it can be; trying again."


def play(binary: Path, directory: Path, scenario: Callable[[Run], Awaitable[None]], **options: Any) -> None:
    """Run a scenario; ``options`` are those of `running`."""

    async def inside() -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS), running(binary, directory, **options) as run:
            await scenario(run)

    run_loop(inside())


async def equal(run: Run) -> None:
    """What every scenario ends with."""
    found = await run.end()
    assert found.wrong == [], found.alerts.examples + found.letters.examples
    assert found.alerts.expected > 50, "too little happened to show anything"


@contextmanager
def small_disk(directory: Path, options: str = "size=16m") -> Iterator[Path]:
    """A small file system, which only root can make. The log of SQLite takes 4 MB before it is used again."""
    directory.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("needs mount")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {made.stderr.decode().strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


async def waits_without_acknowledging(run: Run) -> None:
    """Several checkpoint intervals long events come in, and the server learns of no acknowledgement."""
    before = await floor(run.client)
    await run.more("EVENTS", 150)
    run.service.check()
    assert await floor(run.client) == before
