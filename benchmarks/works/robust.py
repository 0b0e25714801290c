"""Every flow feeds three robust baselines of its device and app."""

from __future__ import annotations

import dsl
from benchmarks.references import robust as reference
from benchmarks.works.work import Work

RULES = """
EVENT net flow { app: string? bytes_out: int UNIT bytes bytes_in: int UNIT bytes host: string? port: int? }
EVENT net dns { host: string? }
EVENT net tls { host: string? }
EVENT app exit { app: string class: string? }
EVENT app lifecycle { app: string? }
EVENT app access { app: string? }
EVENT device state { item: string? }
EVENT device posture { item: string? }
EVENT device config { item: string? }
EVENT sensor health { status: string? }
BASELINE sent = bytes_out OF net flow BY device, app EVERY 1m USING robust WARMUP 10
BASELINE received = bytes_in OF net flow BY device, app EVERY 1m USING robust WARMUP 10
BASELINE longer = bytes_out OF net flow BY device, app EVERY 5m USING robust WARMUP 10
RULE robust3 "A flow unlike the app's others, then the end of the app" {
  BY device, app
  WHEN net flow [bytes_out >= 20KB AND (deviation(sent) >= 4 OR deviation(received) >= 4 OR
  deviation(longer) >= 4)]
    THEN app exit
    WITHIN 10m
}
"""


def make(lines: list[bytes]) -> Work:
    """The work over these events, of ``generate.mobile``."""
    return Work(
        name="robust3",
        about="one rule over a fleet's mix of kinds: every flow feeds three robust baselines of its app",
        ruleset=dsl.load_text(RULES),
        lines=lines,
        reference=reference.count,
    )
