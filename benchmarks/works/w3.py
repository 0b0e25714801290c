"""W3: many rules of one shape, each with a score, a port, a second kind and a window of its own."""

from __future__ import annotations

from functools import partial

import dsl
from benchmarks.brute_force import Pair, latest_pairs
from benchmarks.generate.flows import DEVIATION, PORTS, TROUBLE
from benchmarks.references import w3 as reference
from benchmarks.works.w1 import EVENTS
from benchmarks.works.work import Work

BUDGETS = {1000: 2.5}


def pairs(count: int) -> list[Pair]:
    """What the first ``count`` rules say. Fewer rules are always the first of more."""
    return [
        Pair(
            score=DEVIATION + number * 7 % 20 / 5,
            port=PORTS[number * 3 % len(PORTS)],
            kinds=(TROUBLE[number % len(TROUBLE)],),
            window_ms=600 * (20 + (number * 13 + 70) % 71),
            by=("device",),
        )
        for number in range(count)
    ]


def rule_text(number: int, pair: Pair) -> str:
    """One rule."""
    kind = pair.kinds[0].replace(".", " ")
    return (
        f"RULE w3_{number} {{ WHEN net flow [score >= {pair.score} AND port == {pair.port}] "
        f"THEN {kind} WITHIN {pair.window_ms}ms }}\n"
    )


def make(lines: list[bytes], rules: int) -> Work:
    """The work over these events with so many rules."""
    wanted = pairs(rules)
    texts = [rule_text(number, pair) for number, pair in enumerate(wanted)]
    return Work(
        name=f"w3-{rules}",
        about="rules of one shape, each with a score, a port, a second kind and a window of its own",
        ruleset=dsl.load_text(EVENTS + "".join(texts)),
        lines=lines,
        reference=partial(reference.count, wanted),
        brute_force=lambda events: len(latest_pairs(events, wanted)),
        budget=BUDGETS.get(rules),
    )
