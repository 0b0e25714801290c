"""Peers that this comparison does not run, as measured once on the same work elsewhere (2026-11, W1, a
million
events of a generator of the same shape, 2 cores, Python 3.11, Java 17).

Ratios are CPU seconds over those of the decode floor of that run, so that they can be set beside ours: 0.30 s
for five fields.
"""

from __future__ import annotations

from typing import NamedTuple


class Fact(NamedTuple):
    """One line."""

    peer: str
    cpu_seconds: float
    count: str
    how: str
    cannot: str


FLOOR_SECONDS = 0.30
FACTS = (
    Fact(
        "Esper 9.0 (Java)",
        3.15,
        "right",
        "Java, Jackson, event-time clock; not on PyPI",
        "1,000 rules without 14 to 21 s of compiling and 2.4 GB",
    ),
    Fact(
        "Drools (Java), our filter",
        2.9,
        "right",
        "Java, STREAM mode, pseudo clock; the jar of drools-jpy",
        "1,000 rules without 25 s and 3 GB; W2 not tried",
    ),
    Fact("Flink SQL MATCH_RECOGNIZE", 23.4, "right", "Java, mini cluster; whole process", "as Flink CEP"),
    Fact(
        "CORE (pycer 0.1)",
        8.2,
        "right for one rule",
        "PyOfflineServer; Python 3.13 only",
        "W2 (one WITHIN a query); loses matches from 50 rules on",
    ),
    Fact(
        "nools (Node), our filter and expiry",
        2.3,
        "right",
        "Node 4.x rules engine; expiry by us",
        "windows: expiry is our code",
    ),
    Fact("OpenCEP (Python)", 21.4, "right", "2022 snapshot", "W2 not tried"),
    Fact("bobocep (Python)", 123.0, "right", "100,000 events, scaled", "W2 not tried"),
    Fact(
        "durable_rules",
        4.5,
        "42 of 43 in 20,000 events",
        "20,000 events, scaled, our filter",
        "more: it ran out of memory at 30,000 events",
    ),
)
