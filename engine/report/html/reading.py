"""What was read for the page, what of it was not used, and why."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from engine.alerting.words import kind_in_words
from engine.report.html.facts import MAX_ROWS, Report
from engine.report.html.markup import Child, Markup, tag


def reading(report: Report) -> Iterable[Child]:
    """The section's content."""
    names = report.recordings[:MAX_ROWS]
    more = len(report.recordings) - len(names)
    yield tag("h3", "Recordings")
    yield tag(
        "ul",
        *(tag("li", tag("code", name)) for name in names),
        tag("li", f"and {more:,} more") if more else None,
    )
    if report.kinds:
        yield tag("h3", "Kinds of event that rules read")
        yield tag("div", _kinds(report), class_="scroll")
    others: list[Child] = []
    if report.unread:
        others.append(tag("li", f"{report.unread:,} events are of declared kinds that no rule reads."))
    for kind, count in report.unknown[:MAX_ROWS]:
        others.append(
            tag(
                "li",
                f"{count:,} events were passed over: no EVENT declares the kind ",
                tag("code", kind),
                ".",
            )
        )
    if len(report.unknown) > MAX_ROWS:
        others.append(tag("li", f"{len(report.unknown) - MAX_ROWS:,} more such kinds are left out."))
    others += [tag("li", note) for note in report.notes]
    if others:
        yield tag("h3", "Not used, or only in part")
        yield tag("ul", *others)
    if report.refused:
        yield tag("h3", "Refused")
        yield tag("div", _refused(report), class_="scroll")


def _kinds(report: Report) -> Markup:
    rows = [
        tag(
            "tr",
            tag("th", kind_in_words(kind.kind), scope="row"),
            tag(
                "td",
                f"{kind.seen:,}" if kind.seen else "none came",
                class_="num" if kind.seen else "num absent",
            ),
            tag("td", f"{kind.late:,}", class_="num"),
            tag("td", f"{kind.rules:,}", class_="num"),
        )
        for kind in report.kinds
    ]
    head = ("kind", "events", "too late to be matched", "rules that read it")
    return tag(
        "table",
        tag(
            "thead",
            tag("tr", *(tag("th", h, scope="col", class_="num" if h != "kind" else None) for h in head)),
        ),
        tag("tbody", *rows),
        class_="plain",
    )


def _refused(report: Report) -> Markup:
    rows = [
        tag(
            "tr",
            tag("th", reason.replace("_", " "), scope="row"),
            tag("td", f"{count:,}", class_="num"),
            tag("td", *(tag("small", f"{PurePath(e.origin).name}: {e.detail}") for e in examples)),
        )
        for reason, count, examples in report.refused
    ]
    head = ("reason", "records", "examples")
    return tag(
        "table",
        tag("thead", tag("tr", *(tag("th", h, scope="col") for h in head))),
        tag("tbody", *rows),
        class_="plain",
    )
