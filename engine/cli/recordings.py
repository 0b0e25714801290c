"""Recordings given on the command line: opening them, and a bar while they are read."""

from __future__ import annotations

import contextlib
import gzip
import sys
from pathlib import Path
from typing import BinaryIO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.cli.common import UsageError, err


def opened(name: str, stack: contextlib.ExitStack) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    path = Path(name)
    try:
        if path.is_dir():
            raise UsageError(f"`{name}` is a folder; name the recordings in it")
        stream: BinaryIO = stack.enter_context(path.open("rb"))
        if stream.read(2) == b"\x1f\x8b":
            stream.seek(0)
            return stack.enter_context(gzip.open(stream, "rb"))  # type: ignore[return-value]  # reads like one
        stream.seek(0)
    except OSError as error:
        raise UsageError(f"`{name}` cannot be read: {(error.strerror or 'not readable').lower()}") from None
    return stream


def reading_progress() -> Progress:
    """A bar on standard error, only where a person sits there."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
