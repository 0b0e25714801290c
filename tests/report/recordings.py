"""Rules and a recording that show every part of the report. All of it is made up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import dsl
from engine.alerts import Alert
from engine.matcher import Matcher
from engine.replay import Recording, Replay
from engine.report.fits import Fits
from engine.report.html import Collector, Report, build

BEGIN = 1_772_438_400_000
"""2026-03-02T08:00:00Z."""
MINUTE = 60_000
HOUR = 60 * MINUTE

RULES = """
EVENT net flow { app: string host: string? bytes_out: int UNIT bytes }
EVENT app exit { app: string class: string }
EVENT app update { app: string }
EVENT login { user: string ok: bool }
EVENT mic { phase: string }
EVENT panic { text: string? }
EVENT beacon { host: string }

RULE upload then crash "A large upload, then a crash" {
  META { attack: [AN1756] strategy: DET0663 version: "1.2.0" false_positives: ["a large first upload"]
         response: { isolate: "suggested" preserve: [{ what: "crash reports" why: "they rotate" }] } }
  BY device, app
  WHEN net flow [bytes_out > 1MB] AS upload THEN app exit [class == "memory_violation"] AS crash WITHIN 10m
  UNLESS app update WITHIN 2h BEFORE
  SEVERITY high
  RISK 70
  ALERT { title: "{upload.app} crashed {elapsed} after {upload.bytes_out} bytes to {upload.host}" }
}
RULE many failures "Many failed logins, then one that works" {
  WHEN AT LEAST 5 login [ok == FALSE] IN 5m AS failures THEN login [ok] AS success WITHIN 30m
  SEVERITY critical
}
RULE held microphone "The microphone is held for half a minute" {
  WHEN mic [phase == "begin"] AS open THEN NO mic [phase == "end"] FOR 30s
  SEVERITY medium
}
RULE any panic "A kernel panic" { WHEN panic AS kernel SEVERITY info }
RULE never seen "Needs a kind that is not there" { WHEN beacon AS b THEN panic WITHIN 1h }
RULE never fits "Needs what no event has" { WHEN net flow [bytes_out > 1GB] AS huge THEN panic WITHIN 1h }
RULE never completes "Begins and does not end" { WHEN login AS l THEN app exit AS x WITHIN 1s }
RULE feeds others "Publishes nothing" { WHEN panic SEVERITY none }
"""


def event(kind: str, device: str, after: int, **fields: Any) -> dict[str, Any]:
    """An event so many milliseconds after the beginning."""
    return {
        "kind": kind,
        "device": device,
        "time": BEGIN + after,
        "id": f"{kind}-{device}-{after}",
        "source": "made-up",
        **fields,
    }


def events() -> Iterator[dict[str, Any]]:
    """In the order of arrival: the update of d2 comes last and closes an alert."""
    for device, at in (("d1", HOUR), ("d2", 3 * HOUR)):
        yield event("net.flow", device, at, app="chat", host="files.example", bytes_out=9_400_000)
        seen = BEGIN + at + 6 * HOUR
        yield event("app.exit", device, at + 212_000, app="chat", **{"class": "memory_violation"}, seen=seen)
    for number in range(8):
        yield event("login", "d3", 5 * HOUR + number * 20_000, user="ann", ok=False)
    yield event("login", "d3", 5 * HOUR + 9 * MINUTE, user="ann", ok=True)
    yield event("mic", "d4", 8 * HOUR, phase="begin")
    yield event("mic", "d4", 8 * HOUR + 10 * MINUTE, phase="end")
    for number in range(12):
        yield event("panic", "d5", 9 * HOUR + number * 7 * MINUTE, text=f"panic {number}")
    yield event("app.update", "d2", 2 * HOUR, app="chat")


def recording(wires: Iterator[dict[str, Any]] | list[dict[str, Any]] | None = None) -> bytes:
    """Events as NDJSON, with two lines that are none."""
    lines = [json.dumps(wire) for wire in (events() if wires is None else wires)]
    lines += ["{broken", '{"kind": "unheard.of", "device": "d1", "time": 1}']
    return "".join(f"{line}\n" for line in lines).encode()


def report_of(
    wires: list[dict[str, Any]] | None = None,
    rules: str = RULES,
    most: int = 5_000,
    name: str = "made-up.ndjson",
) -> tuple[Report, list[Alert]]:
    """The report of a replay, and all that its rules said."""
    ruleset = dsl.load_text(rules)
    assert not ruleset.errors, [dsl.render(d, rules) for d in ruleset.errors]
    fits, collector, said = Fits(), Collector(most), []
    matcher = Matcher(ruleset, fits.note)
    replay = Replay(matcher, [Recording(BytesIO(recording(wires)), name, "ndjson")])
    for alert in replay.run():
        collector.take(alert)
        said.append(alert)
    return build(ruleset, matcher, fits, collector, replay.tally, [name], matcher.cap_warnings()), said
