"""Rule files that are watched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dsl.params import Overrides
from dsl.ruleset import rule_files
from engine.reload.prepare import Prepared, Refused, prepare

Signature = tuple[tuple[str, int, int, int, int], ...]
_MISSING: Signature = (("", 0, 0, 0, 0),)
"""While a path is not there."""


class RuleFiles:
    """The rule files below some paths, and what they looked like.

    A set is taken when its files have looked the same twice in a row: while somebody writes, copies or
    unpacks them, they do not. Nothing is taken twice, be it good or bad.
    """

    def __init__(self, paths: Sequence[str | Path], overrides: Overrides) -> None:
        self.name = ", ".join(map(str, paths))
        self._paths = paths
        self._overrides = overrides
        self._seen: Signature | None = None
        self._taken = self._signature()

    def look(self, *, now: bool = False) -> Prepared | Refused | None:
        """The set, if it is another one than before; None: nothing new. Blocks, so not for the event loop.

        ``now``: somebody asks, so take what is there if it is not what was taken last.
        """
        found = self._signature()
        if found == self._taken:
            self._seen = None
            return None
        if found != self._seen and not now:
            self._seen = found
            return None
        prepared = prepare(self._paths, self._overrides)
        if self._signature() != found:
            # Somebody has gone on writing.
            self._seen = None
            return None
        self._taken, self._seen = found, None
        return prepared

    def _signature(self) -> Signature:
        """Place, inode, size and times of each file."""
        try:
            stats = [(str(path), os.stat(path)) for path in rule_files(self._paths)]
        except OSError:
            return _MISSING
        return tuple((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in stats)


class TextFile:
    """A file of exceptions, or of rules that are off: its text when it has changed."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._seen: object = None
        self._problem: str | None = None

    def look(self) -> tuple[str | None, str | None]:
        """Its text if it is new, and what is wrong with it if that is new. A file that is gone is no empty
        one: what it said last goes on.
        """
        try:
            found = os.stat(self.path)
            seen = found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
            if seen == self._seen:
                return None, None
            if found.st_size > LARGEST_BYTES:
                return None, self._say(f"larger than {LARGEST_BYTES >> 20} MiB")
            text = self.path.read_text("utf-8")
            again = os.stat(self.path)
        except UnicodeDecodeError:
            return None, self._say("not UTF-8 text")
        except OSError as error:
            return None, self._say((error.strerror or "not readable").lower())
        if (again.st_ino, again.st_size, again.st_mtime_ns, again.st_ctime_ns) != seen:
            return None, None
        self._seen, self._problem = seen, None
        return text, None

    def _say(self, problem: str) -> str | None:
        known, self._problem = self._problem, problem
        return None if known == problem else problem


LARGEST_BYTES = 4 << 20


def names_off(text: str) -> list[str]:
    """The rules that a text switches off: one a line, ``#`` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line.replace(" ", "_") for line in lines if line]
