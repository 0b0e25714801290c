"""The elements of JSON arrays in a stream, one at a time: an array may be longer than memory.

Only the borders of elements are looked for; whether an element is JSON is for who decodes it.
"""

import re
from collections.abc import Iterator

from engine.sources.lines import MAX_LINE_BYTES, MAX_NAME_CHARACTERS, Input
from engine.sources.records import Refusal, shown

_BORDER = re.compile(rb'["\\\[\]{},\n]')
_BLANK = b" \t\r\n,"
_NEW_LINE = b"\n"


class _Splitter:
    """Where the reading stands."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.depth = 0
        self.quoted = False
        self.line = 1
        self.index = 0
        self.held = bytearray()
        self.size = 0
        self.answered = False
        self.began = 1
        """The line on which the present element, or the text outside of arrays, began."""

    def hold(self, piece: bytes) -> None:
        """More of the present element. Of one that is too long nothing more is held."""
        self.size += len(piece)
        if self.size <= self.limit:
            self.held += piece

    def end(self) -> tuple[str, bytes] | Refusal | None:
        """The present element, which is complete; None when it is blank."""
        size, held = self.size, bytes(self.held)
        inside, index = self.depth > 0, self.index
        blank = len(held) - len(held.lstrip(_BLANK))
        where = f"{self.name}:{self.began + held[:blank].count(_NEW_LINE)}"
        self.held.clear()
        self.size, self.began = 0, self.line
        held = held.strip(b" \t\r\n" if inside else _BLANK)
        if not held and size <= self.limit:
            return None
        self.answered = True
        if not inside:
            return Refusal(where, "malformed_json", f"'{shown(held, 40)}' stands outside of an array.")
        self.index += 1
        where = f"{where}[{index}]"
        if size > self.limit:
            return Refusal(
                where, "line_too_long", f"The element has {size} bytes; at most {self.limit} are accepted."
            )
        return where, held


def elements(source: Input, name: str, limit: int = MAX_LINE_BYTES) -> Iterator[tuple[str, bytes] | Refusal]:
    """Every element of every array of the stream as (origin, bytes), origin being "name:line[index]".

    Refusals: "malformed_json" for text outside of arrays and for an element with an open string at the end of
    its line (reading goes on with the next array), "line_too_long", "truncated", and those of the stream.
    """
    state = _Splitter(shown(name, MAX_NAME_CHARACTERS), limit)
    escaped = -1
    offset = 0
    something = False
    for chunk in source.chunks():
        something = something or not chunk.isspace()
        start = 0
        for border in _BORDER.finditer(chunk):
            at = border.start()
            byte = chunk[at : at + 1]
            if byte == b"\n":
                state.line += 1
                if not state.quoted:
                    continue
                # JSON strings hold no line ends: the element is damaged, and so is all up to the next array.
                state.hold(chunk[start:at])
                start = at
                where = f"{state.name}:{state.began}[{state.index}]"
                state.answered = True
                yield Refusal(where, "malformed_json", "A string is open at the end of its line.")
                state.held.clear()
                state.size, state.depth, state.quoted, state.began = 0, 0, False, state.line
            elif offset + at == escaped:
                continue
            elif state.quoted:
                if byte == b"\\":
                    escaped = offset + at + 1
                elif byte == b'"':
                    state.quoted = False
            elif state.depth == 0:
                if byte == b"[":
                    state.hold(chunk[start:at])
                    start = at + 1
                    outside = state.end()
                    if outside is not None:
                        yield outside
                    state.depth, state.index = 1, 0
            elif byte == b'"':
                state.quoted = True
            elif byte in (b"[", b"{"):
                state.depth += 1
            elif byte in (b"]", b"}") and state.depth > 1:
                state.depth -= 1
            elif (byte == b"," and state.depth == 1) or byte == b"]":
                state.hold(chunk[start:at])
                start = at + 1
                element = state.end()
                if element is not None:
                    yield element
                if byte == b"]":
                    state.depth = 0
        state.hold(chunk[start:])
        offset += len(chunk)
    if source.failure is not None:
        yield source.failure.at(state.name)
    elif not something:
        yield Refusal(state.name, "empty_file", "The file contains nothing.")
    elif state.depth:
        yield Refusal(f"{state.name}:{state.began}[{state.index}]", "truncated", "The array is not closed.")
    else:
        outside = state.end()
        if outside is not None:
            yield outside
        elif not state.answered:
            yield Refusal(state.name, "empty_file", "The arrays of the file contain nothing.")
