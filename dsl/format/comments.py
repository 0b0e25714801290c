"""Where the comments of a declaration stand: each belongs to a token.

A comment on the line of a token, behind it, is that token's; one on a line of its own belongs to
the token that follows. Tokens that the layout leaves out (a comma in a map, one before a closing
bracket) keep no comments: theirs pass to their neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import msgspec
from lark import Token

_COMMENT = re.compile(r"#[^\n]*")


class Comment(msgspec.Struct, frozen=True):
    """A comment on a line of its own; ``blank`` if an empty line stands before it."""

    text: str
    blank: bool


class Leaf(msgspec.Struct):
    """A token with what stands around it.

    Attributes:
        before: the comments on lines of their own above it.
        after: the comment behind it on its line.
        blank: an empty line stands directly above it.
        first: it is the first on its line.
    """

    text: str
    before: list[Comment]
    after: str | None = None
    blank: bool = False
    first: bool = False


class Leaves(msgspec.Struct):
    """The leaves of a file by where their tokens start, and the comments behind the last of them."""

    by_start: dict[int, Leaf]
    end: list[Comment]


def attach(text: str, tokens: Sequence[Token], dropped: Collection[int]) -> Leaves:
    """Find the comments of a file.

    Args:
        text: the file.
        tokens: all its tokens, in order.
        dropped: where tokens start that will not be printed.
    """
    found: dict[int, Leaf] = {}
    previous: Leaf | None = None
    comma: Leaf | None = None  # what stands before `previous`, if that is a comma
    at = 0
    gap = ""
    for token in tokens:
        start, end = token.start_pos or 0, token.end_pos or 0
        gap += text[at:start]
        at = end
        if start in dropped:
            gap += " "
            continue
        leaf = Leaf(str(token), [])
        leaf.blank, leaf.before = _read(gap, previous)
        leaf.first = previous is None or "\n" in gap
        if comma is not None and previous is not None and previous.after is None and not previous.before:
            previous.after, comma.after = comma.after, None  # `a, # why` rather than a comma below
        comma = previous if token.type == "COMMA" else None
        found[start] = leaf
        previous, gap = leaf, ""
    _, end_comments = _read(gap + text[at:], previous)
    return Leaves(found, end_comments)


def _read(gap: str, previous: Leaf | None) -> tuple[bool, list[Comment]]:
    """The comments between two tokens; whether an empty line stands before the second."""
    own: list[Comment] = []
    at = 0
    for match in _COMMENT.finditer(gap):
        space = gap[at : match.start()]
        comment = match[0].rstrip()
        if previous is not None and previous.after is None and not own and "\n" not in gap[: match.start()]:
            previous.after = comment
        else:
            own.append(Comment(comment, space.count("\n") > 1))
        at = match.end()
    return gap[at:].count("\n") > 1, own
