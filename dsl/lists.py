"""LIST files: one entry a line, ``#`` begins a comment, blank lines are skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dsl.literals import check_wildcards

MAX_LIST_BYTES = 64 << 20
"""A longer list belongs into the events as a label; this one is held in memory by every process."""

ReadList = Callable[[str], tuple[tuple[str, ...], str | None]]
"""From a path the entries, or what is wrong in a few words: :func:`read_list`, or a stand-in."""


def read_list(path: str) -> tuple[tuple[str, ...], str | None]:
    """The entries of a list file, or none and what is wrong in a few words."""
    try:
        file = Path(path)
        if file.exists() and not file.is_file():  # a pipe would block, a device might never end
            return (), "not a file"
        if file.stat().st_size > MAX_LIST_BYTES:
            return (), f"larger than {MAX_LIST_BYTES >> 20} MiB"
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        return (), "not UTF-8 text"
    except (OSError, ValueError) as error:
        return (), (getattr(error, "strerror", None) or "not a usable path").lower()
    entries: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        problem = check_wildcards(entry)
        if problem is not None:
            return (), f"line {number}: {problem}"
        if entry:
            entries[entry] = None
    return tuple(entries), None
