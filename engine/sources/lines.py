"""Reading a stream of any length in constant memory.

At any moment at most one chunk, one unfinished line and the look-ahead of `detect` are held, about 2.5 MiB,
whatever the file contains.
"""

import zlib
from collections.abc import Callable, Iterator
from datetime import tzinfo
from typing import Any, BinaryIO

from engine.sources.records import Record, Refusal, Refused, shown

MAX_LINE_BYTES = 1024 * 1024
"""A longer line is refused. This is the message size a NATS server accepts by default: an event that could
not have been published is not accepted from a file either."""

CHUNK_BYTES = 64 * 1024
"""Bytes asked for at a time. Sixteen times as many measured no faster."""

MAX_NAME_CHARACTERS = 1024
"""A file name is untrusted too; it is escaped, and cut here (longer than any file system's names)."""

_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


class Input:
    """A binary stream that can be looked at before it is read, and that fails with a value.

    A UTF-8 byte order mark is removed. Another byte order mark, and an error of the stream itself, end the
    input and are left in `failure`; who reads the chunks to their end must report it.
    """

    def __init__(self, stream: BinaryIO, zone: tzinfo | None = None) -> None:
        self.failure: Refused | None = None
        self.zone = zone
        """Where the clock stood whose times are written without an offset; None is unknown."""
        # read1 hands over what a pipe has now, read waits until a whole chunk has come.
        self._read = getattr(stream, "read1", stream.read)
        self._held: list[bytes] = []
        self._started = False
        self._ended = False

    def look(self) -> bytes:
        """The next bytes not yet looked at, kept for `chunks`. Empty at the end of the stream."""
        chunk = self._next()
        if chunk:
            self._held.append(chunk)
        return chunk

    def peek(self) -> bytes:
        """The beginning of what `chunks` will give, up to the first byte that is not blank and some more."""
        start = b"".join(self._held)
        while not start.strip() and len(start) <= MAX_LINE_BYTES and (chunk := self.look()):
            start += chunk
        return start

    def chunks(self) -> Iterator[bytes]:
        """Everything, once: first what has been looked at, then the rest."""
        held, self._held = self._held, []
        yield from held
        while chunk := self._next():
            yield chunk

    def _next(self) -> bytes:
        if self._started:
            return self._fetch()
        self._started = True
        start = b""
        while len(start) < 4 and (chunk := self._fetch()):
            start += chunk
        if start.startswith(_UTF8_MARK):
            return start[len(_UTF8_MARK) :] or self._fetch()
        if start.startswith(_OTHER_MARKS):
            self._ended = True
            self.failure = Refused("not_utf8", "The file is UTF-16 or UTF-32; convert it to UTF-8.")
            return b""
        return start

    def _fetch(self) -> bytes:
        if self._ended:
            return b""
        try:
            chunk: bytes | None = self._read(CHUNK_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            # The last two come from a compressed stream that was cut or damaged.
            why = shown(error, 200) or type(error).__name__
            self.failure = Refused("read_error", f"Reading stopped: {why}.")
            chunk = b""
        if chunk is None:
            self.failure = Refused("read_error", "The stream is non-blocking and had nothing to read.")
        if not chunk:
            self._ended = True
            return b""
        return chunk


def lines(source: Input, name: str, limit: int = MAX_LINE_BYTES) -> Iterator[tuple[str, bytes] | Refusal]:
    """The lines of `source` as (origin, bytes), origin being "name:line number" counted from 1.

    The line end, LF or CR LF, is removed; blank lines are passed over. In place of a line comes a Refusal
    when it is longer than `limit` bytes ("line_too_long"; its rest is skipped without being held) or contains
    NUL bytes ("nul_bytes": what a crash leaves in a log). A last Refusal says when there was nothing but
    blank space ("empty_file") or when reading failed.
    """
    name = shown(name, MAX_NAME_CHARACTERS)
    number = 0
    partial = bytearray()
    skipped = 0
    something = False
    for chunk in _with_final_newline(source):
        pieces = chunk.split(b"\n")
        unfinished = pieces.pop()
        something = something or not chunk.isspace()
        # Asked once a chunk, not once a line: nearly all lines need none of the checks, and this loop stands
        # before every event of a replay.
        if len(chunk) > limit or b"\r" in chunk or b"\0" in chunk:
            careful = len(pieces)
        else:
            careful = 1 if partial or skipped else 0
        for piece in pieces[:careful]:
            number += 1
            if skipped or len(partial) + len(piece) > limit:
                yield _too_long(f"{name}:{number}", skipped + len(partial) + len(piece), limit)
                partial.clear()
                skipped = 0
                continue
            if partial:
                piece = bytes(partial) + piece
                partial.clear()
            if piece.endswith(b"\r"):
                piece = piece[:-1]
            if not piece or piece.isspace():
                continue
            if b"\0" in piece:
                yield Refusal(f"{name}:{number}", "nul_bytes", "The line contains NUL bytes.")
                continue
            yield f"{name}:{number}", piece
        for number, piece in enumerate(pieces[careful:], number + 1):  # noqa: B020 - counts on across chunks
            if piece and (piece[0] > 32 or not piece.isspace()):
                yield f"{name}:{number}", piece
        if skipped or len(partial) + len(unfinished) > limit:
            skipped += len(partial) + len(unfinished)
            partial.clear()
        else:
            partial += unfinished
    if source.failure is not None:
        yield source.failure.at(name)
    elif not something:
        yield Refusal(name, "empty_file", "The file contains nothing.")


def _with_final_newline(source: Input) -> Iterator[bytes]:
    """So that a last line without a line end is a line like the others; a blank line more is no harm."""
    yield from source.chunks()
    yield b"\n"


def _too_long(origin: str, length: int, limit: int) -> Refusal:
    return Refusal(origin, "line_too_long", f"The line has {length} bytes; at most {limit} are accepted.")


def records(
    source: Input, name: str, parse: Callable[[bytes], list[dict[str, Any]]]
) -> Iterator[Record | Refusal]:
    """What `parse` makes of each line, and a Refusal for each line that it or `lines` refuses."""
    for item in lines(source, name):
        if isinstance(item, Refusal):
            yield item
            continue
        origin, line = item
        try:
            events = parse(line)
        except Refused as refused:
            yield refused.at(origin)
            continue
        for event in events:
            yield Record(event, origin)
