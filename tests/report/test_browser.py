"""The page in a real browser: it opens, filters, explains an alert, obeys the keyboard, and is dark at night.

Skipped where no browser is. Debian: `apt-get install chromium`; THENWIRE_BROWSER names another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, find
from recordings import MINUTE, event, report_of

from engine.report.html import render

BROWSER = find()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

LINES = "[...document.querySelectorAll('tbody.alert')].filter(e => e.checkVisibility())"
DETAILS = "[...document.querySelectorAll('tr.detail')].filter(e => e.checkVisibility())"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(render(report_of()[0]))
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    assert BROWSER is not None
    with Chromium(BROWSER) as started:
        yield started


@pytest.fixture
def page(browser: Chromium, url: str) -> Iterator[Chromium]:
    """The page, freshly opened. Whatever a test does with it, nothing may be complained about or fetched."""
    browser.errors.clear()
    browser.requests.clear()
    browser.open("about:blank")
    browser.open(url)
    yield browser
    assert browser.errors == []
    assert {request for request in browser.requests if not request.startswith("file:")} <= {"about:blank"}


def shown(page: Chromium) -> int:
    count: int = page.run(f"{LINES}.length")
    return count


def test_it_opens_with_all_alerts_and_none_explained(page: Chromium) -> None:
    assert page.run("document.title") == "16 alerts · thenwire replay"
    assert shown(page) == 16
    assert page.run(f"{DETAILS}.length") == 0
    assert page.run("document.querySelector('output').textContent") == "16 alerts"


def test_a_complaint_would_be_seen(browser: Chromium, tmp_path: Path) -> None:
    """The other tests mean something: the policy refuses what is not ours, and a test hears of it."""
    path = tmp_path / "bad.html"
    page = render(report_of()[0]).decode()
    bad = "<img src='https://bad.example/x'><script>window.bad = 1</script>"
    path.write_text(page.replace("</main>", f"{bad}</main>"))
    browser.errors.clear()
    browser.open(path.as_uri())
    assert len(browser.errors) == 2
    assert all("Content Security Policy" in error for error in browser.errors)
    assert browser.run("window.bad") is None
    browser.errors.clear()
    browser.requests.clear()


def test_text_filters(page: Chromium) -> None:
    page.click("input[type=search]")
    page.type("FILES.example crash")
    assert shown(page) == 2
    assert page.run("document.querySelector('output').textContent") == "2 of 16 alerts"
    page.type(" nothing like it")
    assert shown(page) == 0
    assert page.run("document.querySelector('.nothing').checkVisibility()") is True
    page.click("button[type=reset]")
    page.run("new Promise(done => setTimeout(done, 20))")
    assert shown(page) == 16
    assert page.run("document.querySelector('.nothing').checkVisibility()") is False


def test_text_finds_what_stands_in_the_reason(page: Chromium) -> None:
    page.click("input[type=search]")
    page.type("memory_violation")
    assert shown(page) == 2


def test_severities_rules_devices_and_states_filter_together(page: Chromium) -> None:
    page.click("input[name=severity][value=info]")
    assert shown(page) == 4
    pick(page, "rule", "upload then crash")
    assert shown(page) == 2
    pick(page, "status", "closed")
    assert page.run(f"{LINES}.map(e => e.dataset.device)") == ["d2"]
    pick(page, "device", "d1")
    assert shown(page) == 0


def pick(page: Chromium, name: str, value: str) -> None:
    """Choose from a list, as the browser tells the page of it."""
    page.run(
        f"(() => {{ const s = document.querySelector('select[name={name}]'); s.value = '{value}'; "
        "s.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_an_alert_opens_and_shows_its_events(page: Chromium) -> None:
    line = "tbody[data-rule='upload then crash'][data-device=d1]"
    page.click(f"{line} button.open")
    assert page.run(f'document.querySelector("{line} button.open").ariaExpanded') == "true"
    text = page.run(f'document.querySelector("{line} tr.detail").innerText')
    assert "2026-03-02 09:00:00.000" in text
    assert "2026-03-02 09:03:32.000" in text
    assert "seen 5h56m28s later" in text
    assert "Looked for and not found" in text
    marks = page.run(f'document.querySelectorAll("{line} svg .event").length')
    assert marks == 2
    page.click(f"{line} button.open")
    assert page.run(f"{DETAILS}.length") == 0


def test_the_picture_is_to_scale(page: Chromium) -> None:
    """A third and a bit of the window is 3m32s of 10m; the second event ends the part that was needed."""
    line = "tbody[data-rule='upload then crash'][data-device=d1]"
    page.click(f"{line} button.open")
    box: Any = page.run(
        f"""(() => {{
          const all = name => [...document.querySelectorAll(`{line} svg ${{name}}`)];
          const of = name => all(name).map(e => e.getBoundingClientRect());
          const [whole, needed, marks] = [of('.window')[0], of('.elapsed')[0], of('.event')];
          return [whole.width, needed.width, needed.right, marks[1].x + marks[1].width / 2];
        }})()"""
    )
    assert box[1] / box[0] == pytest.approx(212 / 600, abs=0.01)
    assert box[2] == pytest.approx(box[3], abs=2)


def test_labels_do_not_cover_each_other(page: Chromium) -> None:
    page.click("button.all")
    page.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    overlaps = page.run(
        """[...document.querySelectorAll('svg')].flatMap(svg => {
          const texts = [...svg.querySelectorAll('text')];
          const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
          return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([b, q]) =>
            p.right - 1 > q.left && q.right - 1 > p.left && p.bottom - 3 > q.top && q.bottom - 3 > p.top
          ).map(([b]) => `${a} / ${b}`));
        })"""
    )
    assert overlaps == []


def test_long_words_stay_in_their_place(browser: Chromium, tmp_path: Path) -> None:
    """Names as long as they may be, and without a place to break them."""
    long = "x" * 250
    kind, rule, step = "k" * 60, "r" * 60, "a" * 60
    rules = (
        f"EVENT {kind} {{ f: string? }}\n"
        f'RULE {rule} {{ WHEN {kind} AS {step} THEN {kind} WITHIN 10m UNLESS {kind} [f == "no"]\n'
        f'  ALERT {{ title: "{{{step}.f}}" }} }}\n'
    )
    wires = [event(kind, long, number * MINUTE, f=long) for number in range(2)]
    path = tmp_path / "long.html"
    path.write_bytes(render(report_of(wires, rules)[0]))
    browser.open(path.as_uri())
    for width in (1280, 390):
        browser.size(width, 900)
        assert browser.run(f"{DETAILS}.length") == 1, "the only alert is open"
        assert browser.run("document.documentElement.scrollWidth") <= width
        out = browser.run(
            """[...document.querySelectorAll('svg.timeline')].flatMap(svg => {
              const edge = svg.getBoundingClientRect().right;
              return [...svg.querySelectorAll('text')].filter(t => t.getBoundingClientRect().right > edge)
                .map(t => t.textContent);
            })"""
        )
        assert out == []
    browser.size(1280, 900)


def test_all_that_is_shown_opens_and_closes(page: Chromium) -> None:
    page.click("input[name=severity][value=info]")
    page.click("button.all")
    assert page.run(f"{DETAILS}.length") == 4
    assert page.run("document.querySelector('button.all').textContent") == "Close all shown"
    page.click("button.all")
    assert page.run(f"{DETAILS}.length") == 0


def test_the_keyboard_is_enough(page: Chromium) -> None:
    """Tab to the first alert, go down a line, open it, close it."""
    page.press("Tab", 9)
    assert page.run("document.activeElement.className") == "skip"
    assert page.run("document.activeElement.getBoundingClientRect().x >= 0")
    for _ in range(40):
        page.press("Tab", 9)
        if page.run("document.activeElement.matches('button.open')"):
            break
    assert page.run("document.activeElement.closest('tbody') === document.querySelector('tbody.alert')")
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("ArrowDown", 40)
    page.press("Enter", 13, "\r")
    assert page.run(f"{LINES}.map(e => e.classList.contains('shown')).indexOf(true)") == 1
    assert page.run(f"{DETAILS}.length") == 1
    page.press(" ", 32, " ")
    assert page.run(f"{DETAILS}.length") == 0


def test_columns_sort(page: Chromium) -> None:
    page.click("thead th:nth-child(2) button")
    severities = page.run(f"{LINES}.map(e => e.dataset.severity)")
    assert severities[:4] == ["critical", "high", "high", "medium"]
    assert page.run("document.querySelector('table.alerts > thead th:nth-child(2)').ariaSort") == "ascending"
    assert page.run("document.querySelector('table.alerts > thead th:nth-child(1)').ariaSort") == "none"
    page.click("thead th:nth-child(2) button")
    assert page.run(f"{LINES}.map(e => e.dataset.severity)")[-1] == "critical"
    page.click("thead th:nth-child(1) button")
    times = page.run(f"{LINES}.map(e => e.querySelector('time').dateTime)")
    assert times == sorted(times)


def test_a_link_opens_an_alert_and_a_rule(page: Chromium, url: str) -> None:
    name = page.run("document.querySelector('tbody[data-device=d3]').id")
    page.open("about:blank")
    page.open(f"{url}#{name}")
    page.run("new Promise(done => setTimeout(done, 20))")
    assert page.run("document.querySelector('tbody[data-device=d3]').classList.contains('shown')")
    page.click("tbody.shown footer a")
    page.run("new Promise(done => setTimeout(done, 20))")
    assert page.run("document.querySelector('#rule-many_failures').open")


def test_it_is_dark_at_night_and_can_be_read(page: Chromium) -> None:
    page.click("button.all")
    for dark in (False, True):
        page.dark(dark)
        background = page.run("getComputedStyle(document.body).backgroundColor")
        assert (luminance(background) < 0.1) is dark
        poor = [(s, c, b) for s, c, b in page.run(COLOURS) if contrast(c, b) < 4.5]
        assert poor == [], "WCAG 2.2 asks for 4.5:1 (success criterion 1.4.3)"
    page.dark(False)


COLOURS = """[...document.querySelectorAll(
    'p, td, th, dd, dt, small, b, span, a, button, h1, h2, h3, h4, text, code')]
  .filter(e => e.checkVisibility() && e.textContent.trim() && !e.closest('tbody.closed tr.line'))
  .map(e => { let p = e.parentElement; const of = x => getComputedStyle(x).backgroundColor;
    while (p && of(p) === 'rgba(0, 0, 0, 0)') p = p.parentElement;
    const own = of(e); const s = getComputedStyle(e);
    return [e.tagName + '.' + (e.getAttribute('class') || '') + ' ' + e.textContent.slice(0, 20),
      e instanceof SVGElement ? s.fill : s.color,
      own !== 'rgba(0, 0, 0, 0)' ? own : of(p || document.body)]; })"""


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


NAMED = ("button", "link", "textbox", "searchbox", "combobox", "image", "checkbox", "region")
"""Roles that say nothing without a name."""


def test_a_screen_reader_finds_its_way(page: Chromium) -> None:
    page.click("tbody[data-device=d1] button.open")
    nodes = [n for n in page.accessibility() if not n.get("ignored")]
    roles = [node["role"]["value"] for node in nodes if "role" in node]
    for role in ("main", "banner", "contentinfo", "search", "table", "columnheader", "article", "status"):
        assert role in roles, role
    levels = [
        next(p["value"]["value"] for p in node["properties"] if p["name"] == "level")
        for node in nodes
        if node.get("role", {}).get("value") == "heading"
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    nameless = [
        node["role"]["value"]
        for node in nodes
        if node.get("role", {}).get("value") in NAMED and not node.get("name", {}).get("value")
    ]
    assert nameless == []


def test_without_scripts_everything_is_there(browser: Chromium, url: str) -> None:
    browser.scripts(False)
    try:
        browser.open(url)
        # The page runs no script; the test still may ask.
        assert browser.run("document.documentElement.className") == ""
        assert browser.run(f"{DETAILS}.length") == 16
        assert browser.run("document.querySelector('.filters').checkVisibility()") is False
    finally:
        browser.scripts(True)


def test_nothing_is_cut_off_on_a_phone(page: Chromium) -> None:
    page.size(390, 800)
    try:
        page.click("button.all")
        assert page.run("document.documentElement.scrollWidth") <= 390
    finally:
        page.size(1280, 900)


def test_on_paper_controls_are_gone_and_open_alerts_stay(page: Chromium) -> None:
    page.click("tbody[data-device=d1] button.open")
    page.media("print")
    try:
        assert page.run("document.querySelector('.filters').checkVisibility()") is False
        assert page.run(f"{DETAILS}.length") == 1
    finally:
        page.media("screen")


def test_text_from_outside_runs_nothing(browser: Chromium, tmp_path: Path) -> None:
    outside = "</script><script>bad=1</script><img src=x onerror='bad=2'><svg onload='bad=3'>"
    wires = [event("panic", outside, number * MINUTE, text=outside) for number in range(3)]
    path = tmp_path / "outside.html"
    path.write_bytes(render(report_of(wires)[0]))
    browser.errors.clear()
    browser.open(path.as_uri())
    browser.click("button.all")
    assert browser.run("window.bad") is None
    assert browser.run("document.images.length") == 0
    assert browser.errors == []
    assert browser.run("document.querySelector('td.device').textContent") == outside
    pick_all = "[...document.querySelector('select[name=device]').options].map(o => o.value)"
    assert browser.run(pick_all) == ["", outside]
