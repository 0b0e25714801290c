"""The rules on the page: what each did, what fitted its steps, and why some were silent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.report.html.alert import anchor, severity
from engine.report.html.collect import SEVERITIES
from engine.report.html.facts import RuleFacts
from engine.report.html.markup import Child, Markup, tag
from engine.report.html.prose import prose


def overview(rules: list[RuleFacts]) -> Markup:
    """One line a rule."""
    head = ("rule", "open", "closed", "events that fit", "runs begun", "matches", "suppressed")
    rows = [
        tag(
            "tr",
            tag(
                "th", tag("a", rule.name, href=f"#{anchor(rule.name)}"), tag("small", rule.title), scope="row"
            ),
            tag("td", *_severities(rule), class_="num"),
            *(
                tag("td", f"{count:,}", class_="num")
                for count in (
                    rule.closed,
                    rule.counts.fits,
                    rule.counts.starts,
                    rule.counts.matches,
                    rule.counts.suppressed,
                )
            ),
        )
        for rule in rules
    ]
    return tag(
        "table",
        tag(
            "thead",
            tag("tr", *(tag("th", h, scope="col", class_="num" if h != "rule" else None) for h in head)),
        ),
        tag("tbody", *rows),
        class_="plain",
    )


def _severities(rule: RuleFacts) -> Iterable[Child]:
    found = [(name, rule.severities[name]) for name in (*SEVERITIES, "none") if name in rule.severities]
    if not found:
        yield "0"
    for name, count in found:
        yield tag("span", f"{count:,} ", severity(name), class_="count")


def silent(rules: list[RuleFacts]) -> Markup | None:
    """The rules without alerts, each with the reasons that are known."""
    found = [rule for rule in rules if rule.silent]
    if not found:
        return None
    rows = [
        tag(
            "div",
            tag("dt", tag("a", rule.name, href=f"#{anchor(rule.name)}")),
            *(tag("dd", reason) for reason in rule.silent),
            *(
                tag("dd", tag("b", f"Nearest miss on {miss.device}: "), prose(miss.sentence))
                for miss in rule.near_misses
            ),
        )
        for rule in found
    ]
    return tag("dl", *rows, class_="silent")


def rule_section(rule: RuleFacts) -> Markup:
    """Everything about one rule that its alerts share."""
    version = f" {rule.version}" if rule.version else ""
    return tag(
        "details",
        tag("summary", tag("h3", rule.name), tag("span", f"{rule.title}{version}", class_="quiet")),
        tag("div", *_about(rule), class_="about"),
        id=anchor(rule.name),
        class_="rule",
    )


def _about(rule: RuleFacts) -> Iterable[Child]:
    yield tag("p", " ".join(rule.sentences))
    yield tag("div", _fits(rule), class_="scroll")
    for title, value in (
        ("What to do", rule.response),
        ("Known false positives", rule.meta.get("false_positives")),
        ("What it cannot see", rule.meta.get("not_seen")),
    ):
        if value:
            yield tag("h4", title)
            yield plain_value(value)


def _fits(rule: RuleFacts) -> Markup:
    most = max((source.fits for source in rule.sources), default=0) or 1
    rows = [
        tag(
            "tr",
            tag("td", source.part),
            tag(
                "th",
                source.name,
                *([] if source.name == source.text else [tag("small", source.text)]),
                scope="row",
            ),
            tag("td", ", ".join(kind.replace(".", " ") for kind in source.kinds)),
            tag("td", f"{source.fits:,}", class_="num"),
            tag("td", tag("meter", value=source.fits, max=most, aria_hidden="true")),
        )
        for source in rule.sources
    ]
    names = ("", "looks for", "in events", "fitted", "")
    head = [
        tag("th", name, scope="col", class_="num" if name == "fitted" else None) if name else tag("td")
        for name in names
    ]
    return tag(
        "table",
        tag("caption", "Events that fit, before bounds and other steps are looked at"),
        tag("thead", tag("tr", *head)),
        tag("tbody", *rows),
        class_="plain",
    )


def plain_value(value: Any) -> Markup:
    """A value of META, whatever its shape."""
    if isinstance(value, dict):
        rows = [
            tag("div", tag("dt", str(name).replace("_", " ")), tag("dd", plain_value(inner)))
            for name, inner in value.items()
        ]
        return tag("dl", *rows, class_="meta")
    if isinstance(value, list | tuple):
        return tag("ul", *(tag("li", plain_value(inner)) for inner in value))
    return tag("span", value)
