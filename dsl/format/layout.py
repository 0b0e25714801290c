"""Documents and how they are laid out on lines of at most :data:`WIDTH` columns.

A document is text with places where a line may break. A group is printed on one line if it fits,
else each break of its own becomes a new line; groups inside it are asked again. This is the scheme
of Wadler, "A prettier printer" (2003), with comments added: an end-of-line comment ends its line
whatever was planned, and a comment of its own line begins one.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

WIDTH = 100
"""Columns of a line, comments at its end not counted. A string is never cut, so lines may be longer."""
STEP = 2
"""Columns of one indent."""
_OPENERS = ("{", "[", "(")


class Line(msgspec.Struct, frozen=True):
    """A place to break; ``flat`` is what stands there where the line is not broken."""

    flat: str = " "


class Hard(msgspec.Struct, frozen=True):
    """A break in any case, after an empty line if ``blank``."""

    blank: bool = False


class Own(msgspec.Struct, frozen=True):
    """A comment on a line of its own."""

    text: str
    blank: bool


class Trail(msgspec.Struct, frozen=True):
    """A comment at the end of a line."""

    text: str


class Indent(msgspec.Struct, frozen=True):
    """Lines that begin in here are one step further in."""

    content: Doc


class Group(msgspec.Struct, frozen=True):
    """On one line if it fits, unless ``broken``."""

    content: Doc
    broken: bool = False


class Tail(msgspec.Struct, frozen=True):
    """``head`` and a text about it: beside it if both fit, else below it if the head fits, else
    behind the broken head. In any case below it if ``below``.
    """

    head: Doc
    tail: Doc
    below: bool = False


Doc: TypeAlias = str | Line | Hard | Own | Trail | Indent | Group | Tail | tuple["Doc", ...]


def fill(parts: list[Doc]) -> Doc:
    """As many of the parts on each line as fit."""
    return (*parts[:1], *(Group((Line(), part)) for part in parts[1:]))


def layout(doc: Doc) -> str:
    """The text of a document, without a newline at its end and without spaces at any line's end."""
    return _Printer().run(doc)


_Item: TypeAlias = tuple[int, bool, Doc]
"""Indent, whether it is printed flat, what."""


class _Printer:
    def __init__(self) -> None:
        self._lines: list[str] = []
        self._current = ""
        self._ended = False  # after a comment: whatever comes next begins a line
        self._last = "{"  # the last text, to know what has just been opened; the text's begin counts too

    def run(self, doc: Doc) -> str:
        left: list[_Item] = [(0, False, doc)]
        while left:
            indent, flat, item = left.pop()
            match item:
                case str():
                    self._text(item, indent)
                case tuple():
                    left.extend((indent, flat, part) for part in reversed(item))
                case Line():
                    if not flat:
                        self._newline()
                    elif not self._ended:
                        self._current += item.flat
                case Hard():
                    self._newline()
                    if item.blank:
                        self._blank()
                case Own():
                    self._own(item, indent)
                case Trail():
                    self._current += f"  {item.text}"
                    self._ended = True
                case Indent():
                    left.append((indent + STEP, flat, item.content))
                case Group():
                    fits = flat or (not item.broken and self._fits(indent, item.content, left))
                    left.append((indent, fits, item.content))
                case Tail():
                    self._tail(item, indent, flat, left)
        self._newline()
        return "\n".join(self._lines)

    # --- writing

    def _text(self, text: str, indent: int) -> None:
        if self._ended:
            self._newline()
        if not self._current.strip():
            self._current = " " * indent
        self._current += text
        self._last = text

    def _newline(self) -> None:
        self._ended = False
        if self._current.strip():
            self._lines.append(self._current.rstrip())
        self._current = ""

    def _blank(self) -> None:
        if self._lines and self._lines[-1] and not self._last.endswith(_OPENERS):
            self._lines.append("")

    def _own(self, comment: Own, indent: int) -> None:
        self._newline()
        if comment.blank:
            self._blank()
        self._current = " " * indent + comment.text
        self._last = comment.text + " "
        self._ended = True

    # --- choosing

    def _room(self, indent: int) -> int:
        used = indent if self._ended or not self._current.strip() else len(self._current)
        return WIDTH - used

    def _fits(self, indent: int, content: Doc, after: list[_Item], ends: bool = False) -> bool:
        """Whether the content, flat, and what follows it up to the next break fit into the line.

        A comment inside the content, not at its edges, keeps it from being flat. With ``ends`` a line
        ends behind the content.
        """
        room = self._room(indent)
        stack: list[tuple[bool, Doc]] = [(True, content)]
        following = 0 if ends else len(after)
        begun = trailed = False
        inside = True
        while room >= 0:
            if not stack:
                inside = False
                if not following:
                    return True
                following -= 1
                _, flat, item = after[following]
                stack.append((flat, item))
                continue
            flat, item = stack.pop()
            match item:
                case "":
                    continue
                case str():
                    if trailed:
                        return not inside
                    begun = True
                    room -= len(item)
                case tuple():
                    stack.extend((flat, part) for part in reversed(item))
                case Line():
                    if not flat:
                        return True
                    room -= len(item.flat)
                case Hard():
                    return not inside
                case Own():
                    if not inside:
                        return True
                    if begun:
                        return False
                    room = WIDTH - indent
                case Trail():
                    if not inside:
                        return True
                    trailed = True
                case Indent():
                    stack.append((flat, item.content))
                case Group():
                    if item.broken and inside:
                        return False
                    stack.append((flat, item.content))
                case Tail():
                    if not flat and not inside:
                        return True
                    if item.below and inside:
                        return False
                    stack.extend([(flat, item.tail), (flat, " "), (flat, item.head)])
        return False

    def _tail(self, item: Tail, indent: int, flat: bool, left: list[_Item]) -> None:
        both: Doc = (item.head, " ", item.tail)
        if flat or (not item.below and self._fits(indent, both, left)):
            left.append((indent, True, both))
        elif (fits := self._fits(indent, item.head, left, ends=True)) or item.below:
            left.append((indent, False, Indent((Hard(), item.tail))))
            left.append((indent, fits, item.head))
        else:
            left.append((indent, False, both))
