"""The whole page: one file, no network, no markup from outside."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib.resources import files

from engine import __version__
from engine.alerts import rfc3339
from engine.report.html import chart
from engine.report.html.alert import entry, severity
from engine.report.html.collect import SEVERITIES
from engine.report.html.facts import MAX_ROWS, Report
from engine.report.html.markup import Child, Markup, join, raw, tag
from engine.report.html.reading import reading
from engine.report.html.rules import overview, rule_section, silent

MAX_DETAIL_CHARACTERS = 16_000_000
"""Of the page, for what explains alerts; those for which nothing is left are listed only."""
MAX_CHOICES = 500
"""Rules or devices that a filter offers; the search field finds the others."""


def render(report: Report, most: int = MAX_DETAIL_CHARACTERS) -> bytes:
    """The page as UTF-8. The same report gives the same bytes.

    Args:
        report: what to show.
        most: see :data:`MAX_DETAIL_CHARACTERS`.
    """
    style, script = _asset("style.css"), _asset("script.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"thenwire {__version__}"),
        tag("title", f"{_count(len(report.outlines), 'alert')} · thenwire replay"),
        raw("style", style),
        raw("script", script),
    )
    body = tag(
        "body",
        tag("a", "Skip to the alerts", href="#alerts", class_="skip"),
        _header(report),
        tag("main", *_sections(report, most)),
        tag("footer", f"thenwire {__version__} · times are UTC", class_="page"),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n".encode()


@cache
def _asset(name: str) -> str:
    return files("engine.report.html").joinpath(name).read_text("utf-8")


def _hash(content: str) -> str:
    """A source of the content security policy (CSP Level 3, section 2.3.1): this text and no other."""
    return f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}"


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _header(report: Report) -> Markup:
    opened = Counter(str(outline.severity) for outline in report.outlines if outline.status == "open")
    closed = len(report.outlines) - sum(opened.values())
    devices = len({outline.device for outline in report.outlines if outline.device})
    refused = sum(count for _, count, _ in report.refused)
    tiles = [
        _tile("open alerts", f"{sum(opened.values()):,}", *_by_severity(opened)),
        _tile("closed again", f"{closed:,}"),
        _tile("devices with alerts", f"{devices:,}", f"of {report.devices:,} seen"),
        _tile("events matched", f"{report.matched:,}", f"of {_count(report.records, 'event')} read"),
        _tile(
            "refused or too late", f"{refused + report.late:,}", f"{refused:,} refused, {report.late:,} late"
        ),
    ]
    return tag(
        "header",
        tag("p", "thenwire replay", class_="brand"),
        tag("h1", _headline(report, sum(opened.values()))),
        tag("p", _extent(report), class_="quiet"),
        tag("ul", *tiles, class_="tiles"),
        class_="page",
    )


def _headline(report: Report, opened: int) -> str:
    if not report.outlines:
        return f"No alerts from {_count(len(report.rules), 'rule')}"
    silent_rules = sum(bool(rule.silent) for rule in report.rules)
    told = f"{_count(opened, 'open alert')} from {_count(len(report.rules), 'rule')}"
    return f"{told}, {silent_rules:,} of them silent" if silent_rules else told


def _extent(report: Report) -> str:
    if report.first_ms is None or report.last_ms is None:
        return "No event was read."
    first, last = (rfc3339(ms)[:19].replace("T", " ") for ms in (report.first_ms, report.last_ms))
    names = ", ".join(report.recordings[:3])
    more = f" and {len(report.recordings) - 3:,} more" if len(report.recordings) > 3 else ""
    return f"{first} to {last} UTC · {names}{more}"


def _tile(name: str, figure: str, *below: Child) -> Markup:
    return tag("li", tag("b", figure), tag("span", name), tag("small", *below) if below else None)


def _by_severity(counts: Counter[str]) -> Iterable[Child]:
    for name in SEVERITIES:
        if counts[name]:
            yield tag("span", f"{counts[name]:,} ", severity(name), class_="count")


# --- the sections


def _sections(report: Report, most: int) -> Iterable[Markup]:
    if report.outlines and report.first_ms is not None and report.last_ms is not None:
        found = chart.histogram(report.outlines, report.first_ms, report.last_ms)
        numbers = tag("details", tag("summary", "The numbers"), chart.table(found))
        picture = tag(
            "div", chart.picture(found), class_="scroll", tabindex="0", role="region", aria_label="chart"
        )
        yield _section("over-time", "Alerts over time", chart.legend(found), picture, numbers)
    yield _section("alerts", "Alerts", *_alerts(report, most))
    if report.not_running:
        rows = [tag("li", message) for message in report.not_running[:MAX_ROWS]]
        more = len(report.not_running) - len(rows)
        rows += [tag("li", f"and {more:,} more")] if more else []
        yield _section("broken", "What did not run: errors in the rules", tag("ul", *rows))
    quiet = silent(report.rules)
    if quiet is not None:
        yield _section("silent", "What stayed silent", quiet)
    sections = [rule_section(rule) for rule in report.rules]
    yield _section("rules", "Rules", tag("div", overview(report.rules), class_="scroll"), *sections)
    yield _section("reading", "What was read", *reading(report))


def _section(name: str, title: str, *parts: Child) -> Markup:
    heading = f"h-{name}"
    return tag("section", tag("h2", title, id=heading), *parts, id=name, aria_labelledby=heading)


def _alerts(report: Report, most: int) -> Iterable[Child]:
    if not report.shown:
        yield tag("p", "No rule raised an alert. The next section says why, as far as it is known.")
        return
    entries: list[Markup] = []
    left, listed_only = most, 0
    for shown in report.shown:
        made = entry(shown, report.past, detailed=left > 0)
        listed_only += left <= 0
        left -= len(made)
        entries.append(made)
    if len(report.shown) < len(report.outlines):
        yield _notice(
            f"{len(report.shown):,} of {len(report.outlines):,} alerts are listed: the most severe, and of "
            "equal ones the newest. All of them are counted above; `thenwire replay --json` prints all."
        )
    if listed_only:
        yield _notice(
            f"{listed_only:,} of the alerts are listed without their evidence, to keep this page small."
        )
    yield _filters(report)
    columns = ("time (UTC)", "severity", "what", "device", "rule", "status")
    sorts = ("descending", "none", "none", "none", "none", "none")
    head = [
        tag("th", tag("button", name, type="button", class_="sort"), scope="col", aria_sort=sort)
        for name, sort in zip(columns, sorts, strict=True)
    ]
    # The page opens with the newest first; the gravest first decided only what is on it.
    order = sorted(range(len(entries)), key=lambda i: report.shown[i].alert.time, reverse=True)
    yield tag(
        "table",
        tag("caption", "Alerts; the button in a line shows what explains it", class_="hidden"),
        tag("thead", tag("tr", *head)),
        *(entries[i] for i in order),
        class_="alerts",
    )
    yield tag("p", "No alert fits the filter.", class_="nothing", hidden=True)


def _notice(words: str) -> Markup:
    return tag("p", words, class_="notice")


def _filters(report: Report) -> Markup:
    counts = Counter(str(shown.alert.severity) for shown in report.shown)
    boxes = [
        tag(
            "label",
            tag("input", type="checkbox", name="severity", value=name, checked=True),
            tag("span", name, class_=f"severity s-{name}"),
            tag("small", f"{counts[name]:,}"),
            class_="chip",
        )
        for name in SEVERITIES
        if counts[name]
    ]
    return tag(
        "form",
        tag("label", tag("span", "text"), tag("input", type="search", name="text", autocomplete="off")),
        tag("fieldset", tag("legend", "severity"), *boxes),
        _choice("rule", [s.alert.rule.name.replace("_", " ") for s in report.shown]),
        _choice("device", [s.alert.device for s in report.shown if s.alert.device]),
        _choice("status", [s.alert.status for s in report.shown]),
        tag("button", "Clear", type="reset"),
        tag("button", "Open all shown", type="button", class_="all"),
        tag("output", _count(len(report.shown), "alert"), class_="shown", aria_live="polite"),
        class_="filters",
        role="search",
        aria_label="filter the alerts",
    )


def _choice(name: str, values: list[str]) -> Markup:
    counted = sorted(Counter(values).items())[:MAX_CHOICES]
    options = [tag("option", f"{value} ({count:,})", value=value) for value, count in counted]
    return tag(
        "label", tag("span", name), tag("select", tag("option", "all", value=""), join(*options), name=name)
    )
