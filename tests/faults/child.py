"""``thenwire run`` with a fault planted in it: for the controls, which must be found out, and for dying at a
chosen point of a checkpoint.

    python child.py FAULT[+FAULT] run --rules ...

Faults: ``no_message_id``, ``ack_first``, ``die:POINT:N``, ``clock``, and ``journal:FILE``, which is none: it
writes down what each checkpoint says, and has the service look for changed rules often.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final


def _no_message_id() -> None:
    """Alerts leave without the id by which the server knows a second copy."""
    from engine.service import publisher

    whole = publisher._headers

    def headers(message: Any) -> dict[str, str]:
        return {name: value for name, value in whole(message).items() if name != "Nats-Msg-Id"}

    publisher._headers = headers


def _ack_first() -> None:
    """The input is acknowledged before the state is stored, and a restart trusts the acknowledgement."""
    from engine.service import consumer, run

    calls = 0

    async def commit(self: Any, *, final: bool = False, **_: Any) -> bool:
        nonlocal calls
        cut, position = self._consumer.cut(), self._consumer.position
        acknowledged = cut is None or await self._consumer.acknowledge(cut, final=final)
        calls += 1
        if final or not calls % 4:
            await self._barrier.store(position, self._received_ms, final=final)
        return bool(acknowledged)

    opened = consumer.Consumer.open

    async def open_at_floor(self: Any, **_: Any) -> None:
        await opened(self)

    run._Session._commit = commit  # type: ignore[method-assign,assignment]  # that is what is planted
    consumer.Consumer.open = open_at_floor  # type: ignore[method-assign,assignment]  # likewise


def _clock() -> None:
    """The machine's clock jumps by up to an hour, back and forth. Only sentences may show it."""
    import random
    import time

    right, jumps = time.time, random.Random()
    offset, until = 0.0, 0.0

    def wrong() -> float:
        nonlocal offset, until
        if time.monotonic() > until:
            offset, until = jumps.uniform(-3600.0, 3600.0), time.monotonic() + jumps.uniform(0.1, 2.0)
        return right() + offset

    time.time = wrong


def _journal(file: str) -> None:
    """See ``reloading.py``."""
    import msgspec

    from engine.service.checkpoints.barrier import Barrier
    from engine.service.rules import watch
    from engine.service.rules.processor import ReloadingProcessor

    watch.LOOK_SECONDS = 0.2  # type: ignore[misc]  # so that a short campaign has many reloads
    whole = Barrier._write
    # A whole line or none, whenever this process is killed.
    journal = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    swap = ReloadingProcessor.swap
    before: dict[str, str] = {}
    filled: dict[str, Any] = {}

    def swapping(self: Any, prepared: Any, sequence: int, apart: Any = None) -> Any:
        before.update(self.list_digests())
        if apart is not None and apart.side.first:
            filled.update(filled_from=apart.side.first, filled_lists=apart.list_digests())
        return swap(self, prepared, sequence, apart)

    async def write(self: Any, checkpoint: Any) -> None:
        line = {**msgspec.to_builtins(checkpoint.mark), "lists_before_swap": dict(before), **filled}
        before.clear()
        filled.clear()
        os.write(journal, msgspec.json.encode(line) + b"\n")
        await whole(self, checkpoint)

    ReloadingProcessor.swap = swapping  # type: ignore[method-assign]  # likewise
    Barrier._write = write  # type: ignore[method-assign]  # that is what is planted


def _die(point: str, count: int) -> None:
    """End by SIGKILL when a point of the service is reached for the ``count``-th time."""
    left = count

    def reached() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    if point == IN_TRANSACTION:
        _watch_commits(reached)
        return
    owner, name, after = {**POINTS, **BUCKET_POINTS}[point]()
    whole = getattr(owner, name)

    async def dying(*arguments: Any, **named: Any) -> Any:
        if not after:
            reached()
        result = await whole(*arguments, **named)
        if after:
            reached()
        return result

    setattr(owner, name, dying)


def _watch_commits(reached: Callable[[], None]) -> None:
    """Have SQLite say when a transaction is about to be committed."""
    from engine.service.checkpoints.sqlite import SqliteStore

    whole = SqliteStore._open

    def opening(self: Any) -> Any:
        database = whole(self)
        database.set_trace_callback(lambda statement: reached() if statement == "COMMIT" else None)
        return database

    SqliteStore._open = opening  # type: ignore[method-assign]  # that is what is planted


Point = Callable[[], tuple[Any, str, bool]]


def _point(module: str, owner: str, name: str, *, after: bool) -> Point:
    def find() -> tuple[Any, str, bool]:
        import importlib

        return getattr(importlib.import_module(module), owner), name, after

    return find


_BARRIER: Final = ("engine.service.checkpoints.barrier", "Barrier")
_BUCKET: Final = ("engine.service.checkpoints.bucket", "BucketStore")
_CONSUMER: Final = ("engine.service.consumer", "Consumer")
POINTS: Final[dict[str, Point]] = {
    "cut, nothing packed": _point(*_BARRIER, "_pack", after=False),
    "packed, alerts on their way": _point(*_BARRIER, "_pack", after=True),
    "alerts stored, state not": _point(*_BARRIER, "_write", after=False),
    "state stored, nothing acknowledged": _point(*_CONSUMER, "acknowledge", after=False),
    "acknowledged": _point(*_CONSUMER, "acknowledge", after=True),
    "tick published": _point("engine.service.ticks", "Ticker", "_tick", after=True),
}
"""By name: what is wrapped, and whether the end comes before or after it."""
IN_TRANSACTION: Final = "written, not committed"
BUCKET_POINTS: Final[dict[str, Point]] = {
    "bucket, parts written, manifest not": _point(*_BUCKET, "_swap", after=False),
    "bucket, manifest written, old parts there": _point(*_BUCKET, "_swap", after=True),
}


def _plant(fault: str) -> None:
    name, _, rest = fault.partition(":")
    if name == "die":
        point, _, count = rest.rpartition(":")
        _die(point, int(count))
    elif name == "journal":
        _journal(rest)
    else:
        {"no_message_id": _no_message_id, "ack_first": _ack_first, "clock": _clock}[fault]()


def main() -> int:
    """The exit code of ``thenwire run``."""
    faults, *arguments = sys.argv[1:]
    for fault in faults.split("+"):
        _plant(fault)
    from engine.cli import main as command_line

    sys.argv[1:] = arguments
    return command_line(arguments)


if __name__ == "__main__":
    sys.exit(main())
