"""The page of a report: what it says, what it leaves out, and that it is the same each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from recordings import MINUTE, RULES, event, events, report_of

import dsl
from engine.alerts import Alert, encode
from engine.matcher import Matcher
from engine.replay import Tally
from engine.report.fits import Fits
from engine.report.html import NearMiss, build, render
from engine.report.html.collect import MAX_REVISIONS, Collector

ROOT = Path(__file__).resolve().parents[2]
VOID = {"meta", "br", "input", "link"}


class Page(HTMLParser):
    """The page as a tree of which only the text and the attributes are kept."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag not in ("style", "script", "pre"))

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        names = {name.rstrip("_").replace("_", "-"): value for name, value in wanted.items()}
        return [a for t, a in self.elements if t == tag and all(a.get(n) == v for n, v in names.items())]


@pytest.fixture(scope="module")
def sample() -> Page:
    return Page(render(report_of()[0]))


def test_every_element_is_closed_and_every_name_is_one(sample: Page) -> None:
    assert sample.faults == []
    assert sample.open == []
    names = [attributes["id"] for _, attributes in sample.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for attribute in ("aria-labelledby", "aria-controls"):
        assert {a[attribute] for _, a in sample.elements if attribute in a} <= set(names)
    for link in sample.all("a"):
        assert link["href"].removeprefix("#") in names, "links stay on the page"


def test_it_says_why_an_alert_fired(sample: Page) -> None:
    text = sample.text
    for words in (
        "chat crashed 3m32s after 9,400,000 bytes to files.example",
        "bytes_out",
        "9,400,000",
        "+3m32s",
        "3m32s of 10m allowed",
        "seen 5h56m28s later",
        "no app update",
        ", from 2h before the first event to the last",
        "Looked for and not found",
        "app.exit-d1-3812000",
        "AN1756 DET0663",
    ):
        assert words in text, words


def test_it_tells_what_became_of_an_alert(sample: Page) -> None:
    text = sample.text
    assert "Revision 2: closed" in text
    assert ": found late after all" in text
    assert "found late" in [data for tag, data in sample.texts if tag == "text"]
    closed = sample.all("tbody", data_status="closed")
    assert [alert["data-device"] for alert in closed] == ["d2"]


def test_silent_rules_have_their_reasons() -> None:
    found = {rule.name: rule.silent for rule in report_of()[0].rules}
    assert found["never seen"] == ("Nothing could fit `b`: no `beacon` is in the recordings.",)
    assert found["never fits"] == ("No event fits `huge`: 2 of `net flow` came, and none passed its filter.",)
    assert found["never completes"][0].startswith("9 runs began and none was completed")
    assert found["feeds others"] == ("It publishes nothing and only feeds other rules; it matched 12 times.",)
    assert found["any panic"] == ()


def test_a_rule_whose_severity_gives_none_says_so() -> None:
    rules = "EVENT a { x: int } RULE r { PARAM p = FALSE WHEN a SEVERITY choose(p, low, none) }"
    report, _ = report_of([event("a", "d", 0, x=1)], rules)
    assert report.rules[0].silent == ("It matched 1 time and published nothing: its SEVERITY gave `none`.",)


def test_suppressed_and_keyless_events_are_told() -> None:
    rules = "EVENT a { k: string? } RULE r { BY device, k WHEN a THEN a WITHIN 5m }"
    report, _ = report_of([event("a", "d", 0), event("a", "d", 10, k="x")], rules)
    assert report.rules[0].silent[-1].startswith("1 events that fit have no value for a key")


def test_near_misses_stand_with_their_rule() -> None:
    report, _ = report_of()
    near = (NearMiss("d9", "it <b>almost</b> did"),)
    rules = [msgspec.structs.replace(rule, near_misses=near) for rule in report.rules if rule.silent]
    page = Page(render(msgspec.structs.replace(report, rules=rules)))
    assert "Nearest miss on d9:" in page.text
    assert "it <b>almost</b> did" in page.text


def test_fits_count_steps_and_guards() -> None:
    report, _ = report_of()
    sources = {rule.name: rule.sources for rule in report.rules}
    assert [(s.part, s.name, s.fits) for s in sources["upload then crash"]] == [
        ("step", "upload", 2),
        ("step", "crash", 2),
        ("guard", "app update", 1),
    ]
    assert [(s.part, s.fits) for s in sources["held microphone"]] == [("step", 1), ("guard", 1)]
    assert [(s.name, s.fits) for s in sources["many failures"]] == [("failures", 8), ("success", 1)]


def test_what_was_read_and_what_was_not(sample: Page) -> None:
    text = sample.text
    assert "unheard.of" in text
    assert "malformed json" in text
    assert "made-up.ndjson:29" in text
    assert "none came" in text


def test_rules_that_do_not_run_are_named() -> None:
    ruleset = dsl.load_text("EVENT a { x: int } RULE r { WHEN a THEN b WITHIN 1m } RULE ok { WHEN a }")
    report = build(ruleset, Matcher(ruleset), Fits(), Collector(), Tally(), ["none"])
    page = Page(render(report))
    assert "What did not run" in page.text
    assert ruleset.errors[0].message in page.text
    assert "No event was read." in page.text


OUTSIDE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e"


def test_text_from_outside_never_becomes_markup() -> None:
    """Everything that an event, a rule file or a file name brings, in every place that shows it."""
    fields = ("app", "host", "user", "device", "source", "text")
    wires = [{k: OUTSIDE if k in fields else v for k, v in wire.items()} for wire in events()]
    wires = [{**wire, "id": f"{OUTSIDE}{number}"} for number, wire in enumerate(wires)]
    rules = RULES.replace("A kernel panic", "<script>alert(3)</script>").replace(
        "a large first upload", "<script>alert(4)</script>"
    )
    report, said = report_of(wires, rules, name=f"{OUTSIDE}.ndjson")
    assert said
    page = Page(render(report))
    assert page.faults == []
    assert len(page.all("script")) == 1
    assert len(page.all("style")) == 1
    assert page.all("img") == []
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert "<script>alert(1)</script>" in page.text, "it is shown as what it is"
    assert "<script>alert(3)</script>" in page.text
    assert "<script>alert(4)</script>" in page.text
    assert "\u202e" not in render(report).decode()


def test_only_our_own_script_and_style_may_run(sample: Page) -> None:
    policy = sample.all("meta", http_equiv="Content-Security-Policy")[0]["content"]
    assert policy.startswith("default-src 'none'; ")
    for kind in ("style", "script"):
        content = next(data for tag, data in sample.texts if tag == kind)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_nothing_is_fetched() -> None:
    page = render(report_of()[0]).decode()
    assert not re.search(r"""(src|href|url)\s*=?\s*[("']?\s*(https?:)?//""", page)
    assert "@import" not in page


def test_the_same_replay_gives_the_same_bytes() -> None:
    assert render(report_of()[0]) == render(report_of()[0])


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    """Python's hash of a string differs from process to process; the page does not."""
    script = "import sys; from recordings import report_of; from engine.report.html import render\n"
    script += "sys.stdout.buffer.write(render(report_of()[0]))"
    pages = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, check=True, env=environment
        )
        pages.add(done.stdout)
    assert len(pages) == 1
    assert b"upload then crash" in pages.pop()


def test_beyond_the_bound_the_gravest_and_newest_stay() -> None:
    report, _ = report_of(most=4)
    assert [shown.alert.severity for shown in report.shown] == ["critical", "high", "high", "medium"]
    assert [shown.alert.device for shown in report.shown[1:3]] == ["d2", "d1"]
    assert len(report.outlines) == 16
    page = Page(render(report))
    assert "4 of 16 alerts are listed" in page.text
    assert len(page.all("tbody", class_="alert")) == 3
    assert "15 open alerts from 8 rules" in page.text, "all of them are counted"


def test_alerts_left_out_are_left_out_early() -> None:
    """What is held while the replay runs is bounded, too."""
    wires = [event("panic", "d1", number * MINUTE) for number in range(500)]
    rules = "EVENT panic { text: string? } RULE any panic { WHEN panic SEVERITY info }"
    report, said = report_of(wires, rules, most=10)
    assert len(said) == 500
    assert [shown.alert.steps[0].event_id for shown in report.shown] == [
        wires[-n]["id"] for n in range(1, 11)
    ]
    collector = Collector(10)
    for alert in said:
        collector.take(alert)
        assert len(collector._kept) <= 22


def test_beyond_the_size_alerts_are_listed_without_their_evidence() -> None:
    report, _ = report_of()
    page = Page(render(report, most=20_000))
    listed = len(page.all("tbody", class_="alert")) + len(page.all("tbody", class_="alert closed"))
    detailed = len(page.all("article"))
    assert listed == 16
    assert 0 < detailed < 16
    assert f"{16 - detailed} of the alerts are listed without their evidence" in page.text
    assert len(render(report, most=20_000)) < len(render(report))
    assert page.all("article")[0]["aria-labelledby"]


def test_long_stories_are_shortened() -> None:
    collector = Collector()
    _, said = report_of()
    first = said[0]
    for revision in range(1, 41):
        activity = "create" if revision == 1 else "update"
        collector.take(msgspec.structs.replace(first, revision=revision, activity=activity))
    shown = collector.shown()[0]
    assert [r.revision for r in shown.revisions] == [1, *range(42 - MAX_REVISIONS, 41)]
    assert shown.left_out == 40 - MAX_REVISIONS


def test_a_replay_without_alerts_has_a_page() -> None:
    report, said = report_of([event("login", "d1", 0, user="ann", ok=True)])
    assert said == []
    page = Page(render(report))
    assert page.faults == []
    assert "No alerts from 8 rules" in page.text
    assert page.all("table", class_="alerts") == []


def test_an_alert_about_no_device_and_without_events_has_its_line() -> None:
    """A storm of silences: about a source, not about devices."""
    rules = "EVENT beat { x: int? } RULE gone { WHEN beat THEN NO beat FOR 10m } EVENT tick { x: int? }"
    wires = [event("beat", f"d{n}", n) for n in range(30)]
    report, said = report_of(wires, rules)
    assert said
    storm = msgspec.structs.replace(said[0], device="", key={}, steps=[], excluded=[])
    collector = Collector()
    collector.take(storm)
    page = Page(render(msgspec.structs.replace(report, shown=collector.shown())))
    assert page.faults == []
    assert ("td", "fleet") in page.texts


def test_the_details_are_those_of_the_alert() -> None:
    """The JSON on the page is the alert that programs get."""
    report, said = report_of()
    page = Page(render(report))
    shown = [data for tag, data in page.texts if tag == "pre"]
    found = {alert.id: alert for alert in (msgspec.json.decode(s, type=Alert) for s in shown)}
    last = {alert.id: alert for alert in said}
    assert {k: encode(v) for k, v in found.items()} == {k: encode(v) for k, v in last.items()}
