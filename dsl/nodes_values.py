"""Syntax nodes: the base of all, names, quantities, and the literals that stand outside expressions."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Span(msgspec.Struct, frozen=True):
    """Half-open range of character offsets in one source file."""

    start: int
    end: int


class Node(msgspec.Struct, frozen=True):
    """Base of every syntax node: a place in the text."""

    span: Span


class Name(Node, frozen=True):
    """One or more lower-case words; ``text`` has underscores between them."""

    text: str


class Quantity(Node, frozen=True):
    """A number, size, duration or PARAM where one of them stands for a count, bound or amount.

    ``text`` is the token as written; ``kind`` is ``number``, ``size``, ``duration`` or ``param``.
    """

    text: str
    kind: str


# --- values: literals outside expressions


class Scalar(Node, frozen=True):
    """A literal. ``kind``: ``string number size duration bool``.

    A duration is in milliseconds, a size in bytes.
    """

    value: str | int | float | bool
    kind: str


class Word(Node, frozen=True):
    """A bare word used as a value: ``status: shadow``, ``attack: [AN1756]``."""

    text: str


class ListValue(Node, frozen=True):
    """``[a, b]``."""

    items: tuple[Value, ...]


class Entry(Node, frozen=True):
    """``key: value`` in a map. ``key`` keeps dots (``xs.count``); ``quoted`` if it was a string."""

    key: str
    key_span: Span
    quoted: bool
    value: Value


class Map(Node, frozen=True):
    """``{ key: value ... }``, in the order written."""

    entries: tuple[Entry, ...]


Value = Scalar | Word | ListValue | Map


def walk(root: Node) -> Iterator[Node]:
    """The node and all nodes below it, parents first."""
    left: list[object] = [root]
    while left:
        item = left.pop()
        if isinstance(item, tuple):
            left.extend(reversed(item))
        elif isinstance(item, Node):
            yield item
            left.extend([getattr(item, field) for field in item.__struct_fields__[:0:-1]])  # not the span
