"""One alert on the page: its line in the list, and all that explains it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from dsl.units import format_duration
from engine.alerting.sentence import judged
from engine.alerting.words import kind_in_words
from engine.alerts import Alert, Deviation, StepEvidence, encode
from engine.events import epoch_ms
from engine.report.html.band import band
from engine.report.html.collect import Revision, Shown, grade
from engine.report.html.histories import Past
from engine.report.html.markup import Child, Markup, join, json_text, tag
from engine.report.html.past import plot
from engine.report.html.prose import prose
from engine.report.html.timeline import timeline

COLUMNS = 6
"""Of the list of alerts."""


def anchor(rule: str) -> str:
    """The name of a rule's place on the page."""
    return "rule-" + rule.replace(" ", "_")


def entry(shown: Shown, past: Mapping[tuple[str, int], Past], detailed: bool) -> Markup:
    """An alert in the list: its line, and below it what explains it, if ``detailed``."""
    alert = shown.alert
    closed = alert.status == "closed"
    rule = alert.rule.name.replace("_", " ")
    name: Markup
    if detailed:
        name = tag(
            "button",
            alert.title,
            type="button",
            class_="open",
            aria_expanded="false",
            aria_controls=f"detail-{alert.id}",
        )
    else:
        name = tag("span", alert.title)
    line = tag(
        "tr",
        tag("td", _time(alert.time, "s"), class_="time", data_v=epoch_ms(alert.time)),
        tag("td", severity(alert.severity), data_v=grade(alert.severity)),
        tag("td", name, class_="what"),
        tag("td", alert.device or "fleet", class_="device"),
        tag("td", rule, class_="rule"),
        tag("td", tag("span", alert.status, class_=f"status {alert.status}")),
        class_="line",
    )
    parts = [line]
    if detailed:
        cell = tag("td", _detail(shown, past), colspan=COLUMNS)
        parts.append(tag("tr", cell, class_="detail", id=f"detail-{alert.id}"))
    return tag(
        "tbody",
        *parts,
        id=f"alert-{alert.id}",
        class_="alert closed" if closed else "alert",
        data_severity=alert.severity,
        data_rule=rule,
        data_device=alert.device,
        data_status=alert.status,
    )


def severity(name: str) -> Markup:
    """The severity as a word with its colour."""
    return tag("span", name, class_=f"severity s-{name}")


def _time(time: str, to: str = "ms") -> Markup:
    """A time as people read it: to the millisecond, or to the second."""
    shown = time.replace("T", " ").removesuffix("Z")
    return tag("time", shown[:19] if to == "s" else shown, datetime=time)


def _detail(shown: Shown, past: Mapping[tuple[str, int], Past]) -> Markup:
    alert = shown.alert
    heading = f"heading-{alert.id}"
    risk = "none given" if alert.risk is None else f"{alert.risk:.0f}"
    facts = _facts(
        ("severity", severity(alert.severity)),
        ("confidence", alert.confidence.level),
        ("risk", risk),
        ("status", alert.status + (", incomplete" if alert.incomplete else "")),
        *((name, "" if value is None else str(value)) for name, value in alert.key.items()),
        ("took", _took(alert)),
    )
    return tag(
        "article",
        tag("h3", alert.title, id=heading),
        facts,
        tag("p", prose(alert.reason), class_="reason"),
        _timeline(alert),
        _evidence(alert),
        _deviations(alert, past),
        tag("div", *_blocks(shown), class_="blocks"),
        _last(alert),
        aria_labelledby=heading,
    )


def _took(alert: Alert) -> str:
    return f"{alert.window.elapsed} of {alert.window.limit} allowed" if alert.window.limit_ms else ""


def _facts(*pairs: tuple[str, Child]) -> Markup:
    rows = [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs if value != ""]
    return tag("dl", *rows, class_="facts")


def _timeline(alert: Alert) -> Markup | None:
    """The picture, unless it would show one point and nothing else."""
    if not alert.excluded and not alert.window.limit_ms and not alert.window.elapsed_ms:
        return None
    return tag("div", timeline(alert), class_="scroll", tabindex="0", role="region", aria_label="timeline")


# --- the events


def _evidence(alert: Alert) -> Markup | None:
    if not alert.steps:
        return None
    first = epoch_ms(alert.steps[0].time)
    head = ("step", "time (UTC)", "after", "event", "what the rule read", "where it is")
    rows = [_event(event, first) for event in alert.steps]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", "Events"),
            tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head))),
            tag("tbody", *rows),
            class_="plain events",
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label="events",
    )


def _event(event: StepEvidence, first: int) -> Markup:
    time = epoch_ms(event.time)
    after = format_duration(time - first) if time > first else ""
    count = f" ({event.count:,} in all)" if event.count is not None and event.count > 1 else ""
    when: list[Child] = [_time(event.time)]
    if event.start is not None:
        when.append(tag("small", f"since {event.start.replace('T', ' ').removesuffix('Z')}"))
    if event.seen is not None:
        late = epoch_ms(event.seen) - time
        when.append(tag("small", f"seen {format_duration(late)} later" if late > 0 else "seen at once"))
    about = [tag("small", f"source {event.source}")]
    if event.quality not in (None, "exact"):
        about.append(tag("small", f"quality {event.quality}"))
    if event.attribution is not None:
        about.append(tag("small", f"attribution {event.attribution}"))
    where: list[Child] = [tag("code", event.event_id)]
    if event.raw_ref is not None:
        where.append(tag("small", event.raw_ref))
    return tag(
        "tr",
        tag("th", event.name + count, scope="row"),
        tag("td", *when, class_="time"),
        tag("td", after and f"+{after}", class_="num"),
        tag("td", kind_in_words(event.kind), *about),
        tag("td", _fields(event.fields)),
        tag("td", *where),
    )


def _fields(fields: dict[str, Any]) -> Markup:
    pairs = [
        tag("span", tag("b", name), " ", _value(value), class_="field") for name, value in fields.items()
    ]
    return join(*pairs)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# --- what stands beside them


def _blocks(shown: Shown) -> Iterable[Markup]:
    alert = shown.alert
    if alert.excluded:
        met = None if alert.cause is None else alert.cause.guard
        rows = [
            tag(
                "li",
                tag("b", guard.what),
                f", {guard.window}" + (": found late after all" if guard.what == met else ""),
                tag("small", f"in {', '.join(guard.kinds)}"),
                class_="met" if guard.what == met else None,
            )
            for guard in alert.excluded
        ]
        title = "Looked for" if met else "Looked for and not found"
        yield _block(title, tag("ul", *rows, class_="ticks"))
    if alert.gaps:
        rows = [
            tag("li", tag("b", gap.need), ": ", prose(gap.status), tag("small", prose(gap.effect)))
            for gap in alert.gaps
        ]
        yield _block("Could not be seen", tag("ul", *rows, class_="warnings"))
    if alert.confidence.why:
        why = tag("ul", *(tag("li", prose(reason)) for reason in alert.confidence.why))
        yield _block(f"Why the confidence is {alert.confidence.level}", why)
    yield _block("How it came in", tag("ul", *(tag("li", prose(line)) for line in _timing(alert))))
    if len(shown.revisions) > 1 or alert.revision > 1:
        yield _block("What became of it", _story(shown))


def _block(title: str, *parts: Child) -> Markup:
    return tag("section", tag("h4", title), *parts, class_="block")


def _deviations(alert: Alert, past: Mapping[tuple[str, int], Past]) -> Markup | None:
    if not alert.deviation:
        return None
    times = {step.name: epoch_ms(step.time) for step in alert.steps}
    figures: list[Markup] = []
    for place, deviation in enumerate(alert.deviation):
        known = past.get((alert.id, place))
        drawn = None if known is None else _history(deviation, known, times.get(deviation.step, 0))
        figures.append(_deviation(deviation, drawn))
    return _block("Far from normal", *figures)


def _history(deviation: Deviation, past: Past, time: int) -> Markup | None:
    drawn = plot(past, time)
    if drawn is None:
        return None
    left_out = f", without the {past.older:,} older ones" if past.older else ""
    told = f"The values of {deviation.baseline} around it, and the band that was usual then{left_out}:"
    return join(tag("small", told), drawn)


def _deviation(deviation: Deviation, past: Markup | None) -> Markup:
    whose = f"the history of this {deviation.scope}" if deviation.scope == "device" else "the fleet's history"
    peer = ", because its own is too short" if deviation.peer else ""
    told = (
        f"At step {deviation.step}, against {whose}{peer}: {deviation.samples:,} samples over "
        f"{format_duration(deviation.age_ms // 1000 * 1000)}, state {deviation.state}."
    )
    caption = tag("figcaption", tag("b", judged(deviation)), tag("small", told))
    return tag("figure", caption, band(deviation), past)


def _timing(alert: Alert) -> Iterable[str]:
    timing = alert.timing
    yield f"Evidence {'came ' if timing.order == 'in order' else ''}{timing.order}."
    if timing.tie:
        yield "Events of different sources share a time: their order is that of arrival."
    if timing.late_s is not None:
        late = format_duration(int(timing.late_s * 1000))
        yield f"The last evidence was seen {late} after it happened."
    if timing.clock_note is not None:
        yield f"{timing.clock_note}."
    yield f"Late evidence may change it until {alert.revisable_until}."
    if alert.dedup.suppressed:
        before = f"{alert.dedup.suppressed:,} were suppressed before it"
        yield f"It stands for {alert.dedup.count:,} matches; {before}."


def _story(shown: Shown) -> Markup:
    rows: list[Markup] = []
    for at, revision in enumerate(shown.revisions):
        if at == 1 and shown.left_out:
            rows.append(tag("li", f"{shown.left_out:,} changes are left out here."))
        rows.append(tag("li", *_revision(revision)))
    return tag("ol", *rows, class_="history")


_ACTIVITIES = {"create": "created", "update": "updated", "close": "closed"}


def _revision(revision: Revision) -> Iterable[Child]:
    yield tag("b", f"Revision {revision.revision}: {_ACTIVITIES.get(revision.activity, revision.activity)}")
    cause = revision.cause
    if cause is not None:
        guard = "" if cause.guard is None else f", which is what `{cause.guard}` looks for"
        yield prose(f" by {kind_in_words(cause.kind)} {cause.event_id} at {cause.time}{guard}")
    for change in revision.changes:
        yield tag("small", prose(f"{change.what}: {change.before}, now {change.after}"))


def _last(alert: Alert) -> Markup:
    """Where to go on from here, and the alert as programs get it."""
    rule = alert.rule.name.replace("_", " ")
    attack = ", ".join(map(str, alert.attack.get("analytics", [])))
    strategy = str(alert.attack.get("strategy", ""))
    version = f" {alert.rule.version}" if alert.rule.version else ""
    more: list[Child] = [
        "Rule ",
        tag("a", rule, href=f"#{anchor(rule)}"),
        f"{version}, its meaning {alert.rule.hash}",
        *([f" · ATT&CK {attack} {strategy}".rstrip()] if attack else []),
        " · what to do and to keep stands with the rule" if alert.response else None,
        f" · alert {alert.id}, revision {alert.revision}",
    ]
    texts = [tag("p", tag("b", f"{name}: "), text) for name, text in alert.texts.items() if text]
    raw = tag(
        "details",
        tag("summary", "The alert as JSON"),
        tag("button", "Copy", type="button", class_="copy"),
        tag("pre", json_text(msgspec.json.format(encode(alert), indent=1))),
        class_="json",
    )
    return tag("footer", *texts, tag("p", *more, class_="more"), raw)
