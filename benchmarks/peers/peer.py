"""What the comparison knows of a peer."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Task(msgspec.Struct, frozen=True):
    """What a peer is to do.

    Attributes:
        work: ``w1``, ``w2``, or ``w3-`` and a number of rules.
        path: the events, a line of JSON each, in order.
        rules: of W3: score, port, second kind, window in ms of each.
    """

    work: str
    path: str
    rules: list[tuple[float, int, str, int]]


class Measured(msgspec.Struct, frozen=True):
    """What a peer found and took.

    Attributes:
        count: matches.
        cpu: seconds of user and system time of all its threads, while it worked.
        wall: seconds by the clock on the wall, likewise.
        version: of the peer.
        resident: the most memory that the process ever had, in bytes.
    """

    count: int
    cpu: float
    wall: float
    version: str = ""
    resident: int = 0


Ready = Callable[[], "int | Measured"]
"""Does the work and gives the number of matches; what runs outside of this process measures itself."""
Prepare = Callable[[Task], Ready]
"""Imports, compiles and loads: that is not measured."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One way to do a work.

    Attributes:
        name: as it is shown.
        module: of ``benchmarks.peers``, with a function ``prepare``; or with the name of another one after a
            colon.
        needs: modules that must be there to be imported.
        java: it needs a Java runtime, and for some a compiler.
        style: ``per event``, ``batch`` or ``micro-batch``.
        reading: for each work the reading (``readings.py``) in which it counts.
        share: it gets only the first part of the events, because it is slow: 0.1 is a tenth.
        how: how it is used, in half a sentence.
        cannot: what it cannot express of what the rules need.
    """

    name: str
    module: str
    needs: tuple[str, ...] = ()
    java: bool = False
    style: str
    reading: dict[str, str]
    share: float = 1.0
    how: str
    cannot: str
