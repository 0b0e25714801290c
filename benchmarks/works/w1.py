"""W1: one rule. A flow with a high score, then trouble of the same device and app within five minutes."""

from __future__ import annotations

import dsl
from benchmarks.brute_force import Pair, latest_pairs
from benchmarks.generate.draw import START_MS
from benchmarks.generate.flows import DEVIATION, TROUBLE, WINDOW_MS
from benchmarks.references import w1 as reference
from benchmarks.references import w1_keeping
from benchmarks.works.work import Work

EVENTS = """
EVENT net flow {
  app: string host: string ip: ip port: int process: string bytes_out: int UNIT bytes score: float
}
EVENT net dns { app: string host: string domain: string query_type: string }
EVENT app crash { app: string process: string class: string signal: string }
EVENT exec anomaly { app: string process: string class: string signal: string }
EVENT security context { app: string process: string class: string signal: string }
"""

RULES = (
    EVENTS
    + """
SIGNAL trouble = app crash OR exec anomaly OR security context
RULE w1 "A flow with a high score, then trouble" {
  BY device, app
  WHEN net flow [score >= 4] THEN trouble WITHIN 300s
}
"""
)

PAIR = Pair(score=DEVIATION, port=None, kinds=TROUBLE, window_ms=WINDOW_MS, by=("device", "app"))


def make(lines: list[bytes]) -> Work:
    """The work over these events."""
    return Work(
        name="w1",
        about="one rule: a flow with a high score, then trouble of the same device and app within 300 s",
        ruleset=dsl.load_text(RULES),
        lines=lines,
        reference=reference.count,
        keeping=w1_keeping.count,
        brute_force=brute_force,
        budget=1.7,
        chains=chains,
    )


def brute_force(lines: list[bytes]) -> int:
    """The number of alerts, found without the engine."""
    return len(latest_pairs(lines, [PAIR]))


def chains(count: int, alerting: bool) -> tuple[list[bytes], list[bytes]]:
    """Nothing before, then ``count`` pairs of events on devices of their own."""
    gap = WINDOW_MS if alerting else WINDOW_MS + 1
    found = [_line("net.flow", number, START_MS, '"score":5.25,"port":443') for number in range(count)]
    found += [_line("app.crash", number, START_MS + gap, '"class":"memory"') for number in range(count)]
    return [], found


def _line(kind: str, number: int, time: int, fields: str) -> bytes:
    return (
        f'{{"kind":"{kind}","device":"device-{number:05}","time":{time},"id":"{kind}-{number}","source":"bench",'
        f'"app":"com.example.app01","process":"App01","host":"edge.example",'
        f'"ip":"198.51.100.1","bytes_out":5,{fields}}}'
    ).encode()
