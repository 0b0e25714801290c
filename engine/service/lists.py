"""LIST ... FROM file REFRESH d: the file is read again while the service runs.

Every REFRESH the file is looked at, and read if it is another one than the last time: rarely more than
one system call. It is read beside the event loop and put in place on it, so between two messages and
never within one. A file that cannot be used changes nothing: the old entries stay and the log says so, once
for each thing that is wrong, and again when it is right.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from dsl.lists import read_list
from dsl.model import NamedList
from engine.matcher import ListChange
from engine.service.changes import Change, at_once

_log = logging.getLogger("thenwire.service")
MIN_REFRESH_SECONDS = 1.0
"""Files are looked at no more often, whatever REFRESH says."""

Signature = tuple[int, int, int, int]


@runtime_checkable
class HasLists(Protocol):
    """A processor with lists that can be given other entries."""

    @property
    def refreshed(self) -> Sequence[NamedList]:
        """The lists that have a file and a REFRESH."""
        ...

    def replace_list(self, name: str, entries: Iterable[str]) -> ListChange:
        """See ``engine.Matcher.replace_list``."""
        ...


class Read(msgspec.Struct, frozen=True):
    """What one look at a file found: its entries, or what is wrong with it, or neither: nothing new."""

    entries: tuple[str, ...] | None = None
    problem: str | None = None


class ListFile:
    """One list and what its file looked like last time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: Signature | None = None

    def read(self) -> Read:
        """Look at the file, and read it if it has changed. Blocks, so not for the event loop."""
        try:
            before = _signature(self._path)
        except (OSError, ValueError) as error:
            self._seen = None
            return Read(problem=(getattr(error, "strerror", None) or "not a usable path").lower())
        if before == self._seen:
            return Read()
        entries, problem = read_list(self._path)
        try:
            changing = _signature(self._path) != before
        except OSError:
            changing = True
        if changing:
            # Somebody is writing it: half a file is worse than an old one.
            return Read()
        self._seen = before
        return Read(problem=problem) if problem is not None else Read(entries=entries)


def _signature(path: str) -> Signature:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


async def keep_fresh(processor: object, change: Change = at_once) -> None:
    """Read the lists of a processor again, each at its time, until cancelled. Returns if it has none.

    ``change`` puts the entries in place.
    """
    if not isinstance(processor, HasLists):
        return
    await asyncio.gather(*(_keep_one(processor, found, change) for found in processor.refreshed))


async def _keep_one(processor: HasLists, found: NamedList, change_at: Change) -> None:
    assert found.path is not None
    assert found.refresh_ms is not None
    file = ListFile(found.path)
    wait = max(MIN_REFRESH_SECONDS, found.refresh_ms / 1000)
    wrong: str | None = None
    while True:
        await asyncio.sleep(wait)
        read = await asyncio.to_thread(file.read)
        if read.problem is not None:
            if read.problem != wrong:
                _log.error(
                    "LIST %s: %s cannot be used: %s; the entries of before stay in force",
                    *(found.name, found.path, read.problem),
                )
            wrong = read.problem
            continue
        if read.entries is None:
            continue
        try:
            change = await change_at(_replacing(processor, found.name, read.entries))
        except Exception as error:  # whatever is in the file, the service goes on
            wrong = f"{type(error).__name__}: {error}"
            _log.exception("LIST %s: %s cannot be used; the entries of before stay", found.name, found.path)
            continue
        if wrong is not None or change.added or change.removed:
            level = logging.WARNING if not read.entries else logging.INFO
            _log.log(
                level,
                "LIST %s read again: %d added, %d removed, %d in force",
                *(found.name, change.added, change.removed, len(read.entries)),
            )
        wrong = None


def _replacing(processor: HasLists, name: str, entries: tuple[str, ...]) -> Callable[[int], ListChange]:
    return lambda _: processor.replace_list(name, entries)
