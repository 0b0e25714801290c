"""Finding the format of a stream by its content.

File names are not consulted: "conn.log" may be JSON, and an upload has no name.
"""

import json
from contextlib import closing

from engine.sources import database, fluent_bit, mvt, netusage, tcc
from engine.sources.lines import CHUNK_BYTES, MAX_LINE_BYTES, Input
from engine.sources.recognise import recognise
from engine.sources.records import Refused, shown

__all__ = ["WINDOW_BYTES", "detect", "recognise"]

WINDOW_BYTES = MAX_LINE_BYTES + CHUNK_BYTES
"""How far is looked: one line of the greatest length is always seen whole."""

_DECODER = json.JSONDecoder()


def detect(source: Input) -> str:
    """The name of the source: that of the first line that shows one.

    No more is read than is needed to decide, and what was read is kept for `Input.chunks`. A database is
    looked at as a whole. Raises Refused "unknown_format", "malformed_database", "empty_file", or the failure
    of the stream.
    """
    window = bytearray()
    start = 0
    first = True
    while True:
        chunk = source.look()
        # A last line may lack its line end; a blank line more is no harm.
        window += chunk or b"\n"
        if window.startswith(database.MAGIC):
            return _database(source, window)
        while (end := window.find(b"\n", max(start, len(window) - len(chunk) - 1))) >= 0:
            line = bytes(window[start:end]).strip()
            if first and line.startswith(b"["):
                break
            start = end + 1
            if line:
                found = recognise(line, first)
                if found is not None:
                    return found
                first = False
        if first and window[start:].lstrip().startswith(b"["):
            # An array may be one line of any length, or be written over many.
            found = _array(bytes(window[start:]))
            if found is not None:
                return found
        if not chunk or len(window) > WINDOW_BYTES:
            break
    if source.failure is not None:
        raise source.failure
    raise _unknown(bytes(window[:CHUNK_BYTES]).strip())


def _array(text: bytes) -> str | None:
    """The source of a stream of arrays, by the first element; None while it is not complete."""
    inside = text.lstrip()[1:].lstrip()
    if inside.startswith(b"["):
        return fluent_bit.SOURCE
    if not inside.startswith(b"{"):
        return None
    try:
        decoded = inside.decode("utf-8", "ignore")
        _, end = _DECODER.raw_decode(decoded)
    except (ValueError, RecursionError):
        return None
    found = recognise(decoded[:end].encode(), first=False)
    return mvt.SOURCE if found == mvt.SOURCE else fluent_bit.SOURCE


def _database(source: Input, window: bytearray) -> str:
    while chunk := source.look():
        window += chunk
        if len(window) > database.MAX_DATABASE_BYTES:
            raise database.too_large()
    if source.failure is not None:
        raise source.failure
    with closing(database.open_bytes(bytes(window))) as connection:
        tables = database.columns(connection)
    for module in (netusage, tcc):
        if module.fits(tables):
            return str(module.SOURCE)
    names = ", ".join(sorted(tables)[:5])
    raise Refused("unknown_format", f"It is an SQLite database of no known kind; its tables: {shown(names)}.")


def _unknown(start: bytes) -> Refused:
    if not start:
        return Refused("empty_file", "The file contains nothing.")
    if start.startswith(b"\x1f\x8b"):
        return Refused("unknown_format", "The file is compressed with gzip; decompress it first.")
    return Refused(
        "unknown_format",
        f"No known format begins with '{shown(start, 40)}'; if you know what it is, name the source.",
    )
