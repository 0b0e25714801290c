"""Sentences of alerts, set so that they are easy to read: times without wrap and without needless zeros, what
stands in brackets in the background."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.report.html.markup import Child, Markup, join, tag

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z")
_BRACKETS = re.compile(r"\[[^\[\]]*\]")


def prose(sentence: str) -> Markup:
    """The sentence as markup. Its words stay as they are."""
    return join(*_pieces(sentence))


def _pieces(sentence: str) -> Iterator[Child]:
    at = 0
    for found in _BRACKETS.finditer(sentence):
        yield from _timed(sentence[at : found.start()])
        yield tag("span", *_timed(found[0]), class_="aside")
        at = found.end()
    yield from _timed(sentence[at:])


def _timed(piece: str) -> Iterator[Child]:
    at = 0
    for found in _TIME.finditer(piece):
        shown = found[0].replace("T", " ").removesuffix("Z").removesuffix(".000")
        yield piece[at : found.start()]
        yield tag("time", shown, datetime=found[0])
        at = found.end()
    yield piece[at:]
