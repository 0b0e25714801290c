"""The state's file on a disk that is hardly larger than it: SQLite's log must not eat it up."""

import asyncio
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from engine.service.checkpoints.model import Checkpoint, Mark, StoreUnavailableError
from engine.service.checkpoints.sqlite import SqliteStore

DEVICES = 1_000
BYTES = 300
"""Of each device: together a third of a megabyte, all of it new in each checkpoint."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Eight megabytes. Only root can make it."""
    with _mounted(tmp_path / "disk") as made:
        yield made


@contextmanager
def _mounted(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("needs mount")
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(directory)]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {made.stderr.decode().strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def _checkpoint(generation: int, random: Random) -> Checkpoint:
    mark = Mark(
        generation=generation,
        stream="EVENTS",
        stream_created="today",
        sequence=generation,
        received_ms=1,
        written_ms=2,
        rules="abc",
    )
    return Checkpoint(mark, b"s", {f"d{number}": random.randbytes(BYTES) for number in range(DEVICES)})


def _taken(disk: Path) -> int:
    return sum(path.stat().st_size for path in disk.iterdir())


async def _until_full(store: SqliteStore, first: int, random: Random) -> int:
    """Store checkpoints until one is refused; the generation of that one."""
    for generation in range(first, first + 500):
        try:
            await store.commit(_checkpoint(generation, random))
        except StoreUnavailableError as error:
            if str(error) != "the disk is full":
                raise
            return generation
    raise AssertionError("the disk was never full, so nothing was shown")


def test_many_checkpoints_take_no_more_room_than_the_state_twice(disk: Path) -> None:
    async def scenario() -> None:
        random, store = Random(1), SqliteStore(disk / "x.state")
        await store.open(None)
        most = 0
        for generation in range(1, 60):
            await store.commit(_checkpoint(generation, random))
            most = max(most, _taken(disk))
        await store.close()
        assert 2 * DEVICES * BYTES < most < 3 * DEVICES * BYTES

    asyncio.run(scenario())


def test_a_reader_that_has_filled_the_disk_does_so_for_no_longer_than_it_reads(disk: Path) -> None:
    """While somebody reads, the log cannot be used again. It leaves the room that it takes to empty it."""

    async def scenario() -> None:
        random, store = Random(1), SqliteStore(disk / "x.state")
        await store.open(None)
        await store.commit(_checkpoint(1, random))
        reader = sqlite3.connect(f"file:{disk}/x.state?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM devices").fetchone()
        refused = await _until_full(store, 2, random)
        # A restart in the middle of it changes nothing.
        await store.close()
        store = SqliteStore(disk / "x.state")
        await store.open(None)
        await _until_full(store, refused, random)
        reader.close()
        for generation in range(refused, refused + 20):
            await store.commit(_checkpoint(generation, random))
        await store.close()
        assert _taken(disk) < 3 * DEVICES * BYTES

    asyncio.run(scenario())


def test_without_a_small_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, for those who may not mount: what the system says of the room is invented."""

    async def scenario() -> None:
        random, store = Random(1), SqliteStore(tmp_path / "x.state")
        await store.open(None)
        await store.commit(_checkpoint(1, random))
        reader = sqlite3.connect(f"file:{tmp_path}/x.state?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM devices").fetchone()
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _: SimpleNamespace(free=(8 << 20) - _taken(tmp_path))
        )
        refused = await _until_full(store, 2, random)
        taken = _taken(tmp_path)
        reader.close()
        await store.commit(_checkpoint(refused, random))
        await store.close()
        assert _taken(tmp_path) < taken / 4

    asyncio.run(scenario())


def test_a_state_opens_on_a_full_disk(disk: Path) -> None:
    async def scenario() -> None:
        random, store = Random(1), SqliteStore(disk / "x.state")
        await store.open(None)
        await store.commit(_checkpoint(1, random))
        await store.close()
        free = shutil.disk_usage(disk).free
        # Only the index of SQLite's log has room.
        (disk / "ballast").write_bytes(b"x" * (free - 32_768))
        store = SqliteStore(disk / "x.state")
        await store.open(None)
        saved = await store.load()
        assert saved is not None
        assert len(saved.devices) == DEVICES
        with pytest.raises(StoreUnavailableError, match="the disk is full"):
            await store.commit(_checkpoint(2, random))
        (disk / "ballast").unlink()
        await store.commit(_checkpoint(2, random))
        await store.close()

    asyncio.run(scenario())
