"""Creates that are written out for their rule say what those put together in general say, byte for byte."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from feeding import DAY, HOUR, at

import dsl
import engine
from engine.plan import Optimisations
from engine.sightings import Sightings

EVENTS = """
EVENT flow {
  app: string? host: string? ip: ip? bytes: int score: float? ok: bool?
  hosts: LIST OF string? until: timestamp? took: duration?
}
EVENT crash { app: string? class: string? count: int? }
EVENT odd { app: string? class: string? }
EVENT update { app: string? }
EVENT posture { bad: bool? }
EVENT boot {}
SIGNAL trouble = crash OR odd
SIGNAL change = update OR posture
BASELINE sent = bytes OF flow BY device, app EVERY 1m USING robust WARMUP 3 PEER app
BASELINE places = host OF flow BY device OVER 14d USING novelty WARMUP 3
"""
RULES = {
    "two steps": "BY device, app WHEN flow [score >= 4] THEN trouble WITHIN 2h",
    "one step": "WHEN flow [bytes > 500]",
    "steps of one name": "WHEN flow [deviation(sent) > 1] THEN flow [bytes > 100] WITHIN 1h",
    "every guard": """
        BY device, app
        WHEN flow AS sent WITHOUT posture FOR 3h
        THEN crash WITHOUT boot AS end
        THEN WITHIN 2h odd WITHIN 5h
        UNLESS update WITHIN 2d BEFORE
        UNLESS posture [bad] WITHIN 9d BEFORE
        UNLESS boot
    """,
    "a guard of two kinds, and one of them again": """
        WHEN flow THEN boot WITHIN 1h
        UNLESS change WITHIN 2d BEFORE
        UNLESS update WITHIN 3d BEFORE
    """,
    "baselines": """
        BY device, app
        WHEN flow [deviation(sent) > 1 OR unseen(places)] AS sent THEN trouble AS end WITHIN 1h
        SEVERITY choose(end.app == sent.app, high, medium)
        RISK min(100, 40 + 5 * deviation(sent))
    """,
    "a severity that may be none": """
        WHEN flow AS sent THEN crash WITHIN 1h SEVERITY choose(sent.ok, low, none)
    """,
    "texts": """
        BY device, app
        WHEN flow AS sent THEN trouble AS end WITHIN 5h
        RISK sent.score
        SUPPRESS 10m PER device, sent.host
        META { version: "2" response: { note: "look" } techniques: [] }
        ALERT {
          title: "{sent.app} on {device}: {end.kind} {elapsed} {sent.ok} {sent.bytes}"
          scope: "{sent.hosts} {sent.until} {sent.took} {sent.score} {end.app}"
          note: "fixed"
          fields: [sent.host, sent.hosts, sent.until, sent.took, sent.ok, sent.ip, sent.score, end.class]
        }
    """,
    "each": "WHEN flow THEN boot WITHIN 2h UNLESS change WITHIN 2d BEFORE SELECT EACH",
    "a long wait": "WHEN trouble THEN boot WITHIN 9d",
    "several": "WHEN AT LEAST 2 flow IN 1h AS xs THEN boot WITHIN 2h",
    "either first": "WHEN ONE OF (flow AS sent THEN crash, odd) AS x THEN boot WITHIN 2h",
}
KINDS = {"flow": 4, "crash": 3, "odd": 2, "boot": 0.8, "update": 0.1, "posture": 0.1}
"""How often each kind comes."""
NAMES = ["mail", "maps", "\u202egro.lave", "a|b", "", None]


def events(random: Random, count: int) -> list[dict[str, Any]]:
    """Events of a few devices with all that an envelope may say, most of them in order."""
    found: list[dict[str, Any]] = []
    minute = 0.0
    for number in range(count):
        minute += random.choice(
            [0, 0, 0.0011, 0.5, 1, 1, 1, 3, 20, HOUR, 8 * DAY if random.random() < 0.1 else 7]
        )
        (kind,) = random.choices(list(KINDS), list(KINDS.values()))
        time = minute - random.choice([0] * 19 + [4])
        wire = {
            "kind": kind,
            "device": random.choice(["d1", "d1", "d1", "d\n2"]),
            "time": at(time),
            "id": random.choice([f"{kind} {number}"] * 9 + [None]),
            "source": random.choice(["sensor", "sensor", "sensor", "agent", None]),
            "quality": random.choice([None] * 8 + ["exact", "interval", "first_last"]),
            "attribution": random.choice([None] * 6 + ["app", "device", "ip"]),
            "seen": random.choice(
                [None] * 9 + [at(time + 3), at(time - 1), "2026-03-02T09:30:00+00:00", "once"]
            ),
            "start": random.choice([None] * 9 + [at(time - 2)]),
            "raw_ref": random.choice([None] * 5 + ["conn.log:7"]),
        }
        if kind not in ("boot", "posture"):
            wire["app"] = random.choice(NAMES[:2] if random.random() < 0.8 else NAMES)
        if kind in ("crash", "odd"):
            wire["class"] = random.choice([None, "memory"])
        if kind == "crash":
            wire["count"] = random.choice([None, 3, 1_234_567])
        if kind == "posture":
            wire["bad"] = random.choice([None, True, False])
        if kind == "flow":
            wire |= {
                "host": random.choice([None, "a.example", "b.example", f"{number}.example", "x\u0007y"]),
                "ip": random.choice([None, "198.51.100.7", "2001:db8::7"]),
                "bytes": random.choice([0, 100, 101, 102, 999, 1_000, 987_654_321, 2**60]),
                "score": random.choice([None, 4, 4.25, 12345.678, 0.00012, 1e16]),
                "ok": random.choice([None, True, False]),
                "hosts": random.choice([None, [], ["a", "b"]]),
                "until": random.choice([None, at(time + 5)]),
                "took": random.choice([None, 0, 61_001]),
            }
        found.append({name: value for name, value in wire.items() if value is not None})
    return found


def said(ruleset: dsl.RuleSet, inputs: list[dict[str, Any]], creates: bool, restart: bool) -> list[bytes]:
    matcher = engine.Matcher(ruleset, optimisations=Optimisations(creates=creates))
    assert not matcher.diagnostics, matcher.diagnostics
    out: list[bytes] = []
    for number, wire in enumerate(inputs):
        if restart and number == len(inputs) // 2:
            forget_one_kind(matcher.sightings)
        out += map(engine.encode, matcher.feed_json(msgspec.json.encode(wire)))
    return [*out, *map(engine.encode, matcher.close())]


def forget_one_kind(sightings: Sightings) -> None:
    """As after a restart with rules that need a kind that was not needed before."""
    state = sightings.state()
    kinds = sorted(state.last)
    kept = {kind: last for kind, last in state.last.items() if kind not in kinds[:1]}
    sightings.restore(msgspec.structs.replace(state, last=kept))


@pytest.mark.parametrize("name", RULES)
def test_they_say_the_same(name: str) -> None:
    ruleset = dsl.load_text(EVENTS + f"RULE r {{ {RULES[name]} }}")
    assert not ruleset.errors, [error.message for error in ruleset.errors]
    alerts = 0
    for seed in range(6):
        inputs = events(Random(seed), 250)
        for restart in (False, True):
            plain = said(ruleset, inputs, False, restart)
            assert said(ruleset, inputs, True, restart) == plain, (seed, restart)
            alerts += len(plain)
    assert alerts > 25


def test_a_rule_over_alerts_and_without_a_device() -> None:
    ruleset = dsl.load_text(
        EVENTS
        + """
        RULE quick { BY device, app WHEN flow THEN crash WITHIN 1h }
        RULE slow { WHEN ALERT quick AS q THEN boot WITHIN 1h }
        RULE spread { BY app WHEN ALERT quick THEN ALERT quick WITHIN 3h }
        """
    )
    assert not ruleset.errors, [error.message for error in ruleset.errors]
    rules = set()
    for seed in range(6):
        inputs = events(Random(seed), 250)
        plain = said(ruleset, inputs, False, False)
        assert said(ruleset, inputs, True, False) == plain, seed
        rules |= {msgspec.json.decode(alert)["rule"]["name"] for alert in plain}
    assert rules == {"quick", "slow", "spread"}


def test_which_rules_have_them_written_out() -> None:
    """Where all steps are single events, each with a name of its own."""
    for name, text in RULES.items():
        ruleset = dsl.load_text(EVENTS + f"RULE r {{ {text} }}")
        (runtime,) = engine.Matcher(ruleset).runtimes
        assert runtime.builder.written_out == (name not in ("steps of one name", "several")), name


def test_the_parts_of_a_first_alert_are_not_asked_of_the_rule_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = dsl.load_text(EVENTS + f"RULE r {{ {RULES['two steps']} }}")
    matcher = engine.Matcher(ruleset)
    monkeypatch.setattr(matcher.runtimes[0].builder, "build", None)
    flow = {"kind": "flow", "device": "d", "app": "a", "time": at(0), "bytes": 1, "score": 5}
    crash = {"kind": "crash", "device": "d", "app": "a", "time": at(1)}
    assert matcher.feed_json(msgspec.json.encode(flow)) == []
    (alert,) = matcher.feed_json(msgspec.json.encode(crash))
    assert alert.activity == "create"
