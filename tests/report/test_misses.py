"""Near misses of silent rules, read again for the page."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from recordings import event, recording
from test_page import Page

import dsl
from engine.cli import main
from engine.matcher import Matcher
from engine.replay import Recording, Replay
from engine.report.fits import Fits
from engine.report.html import NearMiss, Wires
from engine.report.html.misses import MAX_EVENTS, MAX_RULES

HEAD = "EVENT a { x: int } EVENT b { x: int } EVENT g { x: int } EVENT z { x: int }\n"
RULE = "RULE r { WHEN a [x == 1] AS one THEN b [x == one.x] AS two WITHIN 10s UNLESS g }\n"


def misses(rules: str, wires: list[dict[str, Any]]) -> dict[str, list[NearMiss]]:
    ruleset = dsl.load_text(HEAD + rules)
    assert not ruleset.errors, [d.message for d in ruleset.errors]
    fits = Fits()
    matcher = Matcher(ruleset, fits.note)
    data = recording(wires)
    list(Replay(matcher, [Recording(BytesIO(data), "r", "ndjson")]).run())
    again = Wires(ruleset, matcher, fits)
    list(Replay(again, [Recording(BytesIO(data), "r", "ndjson")]).run())
    return again.misses()


def test_the_bound_that_was_missed() -> None:
    found = misses(RULE, [event("a", "d1", 0, x=1), event("b", "d1", 12_000, x=1)])
    [miss] = found["r"]
    assert miss.device == "d1"
    assert "came 2s after the bound of 10s" in miss.sentence


def test_the_guard_that_voided_it() -> None:
    wires = [event("a", "d1", 0, x=1), event("g", "d1", 1_000, x=0), event("b", "d1", 2_000, x=1)]
    assert "UNLESS `g` voids it" in misses(RULE, wires)["r"][0].sentence


def test_the_device_that_got_furthest_is_asked_about() -> None:
    wires = [event("a", device, n, x=1) for n, device in enumerate(("d0", "d1", "d2"))]
    wires += [event("b", "d1", 20_000, x=1), event("b", "c9", 20_000, x=1)]
    [miss] = misses(RULE, wires)["r"]
    assert miss.device == "d1", "the others fit one step only, and c9 did not begin"


def test_rules_that_alert_or_never_begin_are_not_asked_about() -> None:
    assert misses(RULE, [event("a", "d1", 0, x=1), event("b", "d1", 5_000, x=1)]) == {}
    assert misses(RULE, [event("a", "d1", 0, x=2), event("b", "d1", 5_000, x=1)]) == {}


@pytest.mark.parametrize(
    "rules",
    [
        "BASELINE n = x OF a BY device USING robust\nRULE r { WHEN a THEN b WITHIN 1s RISK deviation(n) }\n",
        "RULE q { WHEN a SEVERITY low }\nRULE r { WHEN ALERT q THEN b WITHIN 1s }\n",
        "RULE r { WHEN a THEN b WITHIN 1s SEVERITY none }\n",
    ],
)
def test_rules_that_rest_on_more_than_one_device_are_left_out(rules: str) -> None:
    assert "r" not in misses(rules, [event("a", "d1", 0, x=1), event("b", "d1", 5_000, x=1)])


def test_what_would_take_too_long_is_left_out() -> None:
    wires = [event("a", "d1", n * 60_000, x=1) for n in range(MAX_EVENTS + 1)]
    assert misses(RULE, wires) == {}
    assert misses(RULE, wires[1:])["r"]
    many = "".join(RULE.replace("RULE r", f"RULE r{n}") for n in range(MAX_RULES + 5))
    assert len(misses(many, [event("a", "d1", 0, x=1)])) == MAX_RULES


def test_the_page_tells_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rules, events, page = tmp_path / "r.rule", tmp_path / "e.ndjson", tmp_path / "out.html"
    rules.write_text(HEAD + RULE)
    events.write_bytes(recording([event("a", "d1", 0, x=1), event("b", "d1", 12_000, x=1)]))
    assert main(["replay", str(events), "--rules", str(rules), "--report", str(page)]) == 0
    capfd.readouterr()
    text = Page(page.read_bytes()).text
    assert "Nearest miss on d1:" in text
    assert "came 2s after the bound of 10s" in text
