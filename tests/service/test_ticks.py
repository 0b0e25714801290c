"""When a tick goes out: after a silence while a rule waits, and soon while work is left over."""

from __future__ import annotations

import asyncio

import pytest

from engine.service.connection import Connection
from engine.service.serve import run_loop
from engine.service.settings import Settings
from engine.service.ticks import Ticker


class Work:
    """A processor for which time decides something."""

    has_deadlines = True

    def __init__(self, *, waiting: bool, behind: bool) -> None:
        self.waiting = waiting
        self.behind = behind


def ticks(monkeypatch: pytest.MonkeyPatch, work: Work, after: float, enough: int) -> int:
    """How many go out, besides that of the start, until they are enough or a while is over. The messages
    stand still.
    """
    sent = 0

    async def tick(_: Ticker) -> None:
        nonlocal sent
        sent += 1
        if sent > enough:
            done.set()

    async def scenario() -> None:
        nonlocal done
        done = asyncio.Event()
        settings = Settings(tick_after=after)
        running = asyncio.ensure_future(Ticker(Connection(settings), settings, work, lambda: 7).run())
        try:
            async with asyncio.timeout(20.0 if enough else 0.5):
                await done.wait()
        except TimeoutError:
            pass
        running.cancel()
        await asyncio.wait({running})

    done: asyncio.Event
    monkeypatch.setattr(Ticker, "_tick", tick)
    run_loop(scenario())
    return sent - 1


def test_while_work_is_left_over_they_do_not_wait_for_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ticks(monkeypatch, Work(waiting=True, behind=True), 3_600.0, 5) == 5


def test_otherwise_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ticks(monkeypatch, Work(waiting=True, behind=False), 3_600.0, 0) == 0
    assert ticks(monkeypatch, Work(waiting=True, behind=False), 0.02, 3) == 3


def test_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ticks(monkeypatch, Work(waiting=False, behind=False), 0.02, 0) == 0
