"""A coverage report as Markdown: a summary that anyone can read, then the figures of each rule."""

from __future__ import annotations

from collections.abc import Iterator

from dsl.units import format_duration
from engine.alerts import printable
from engine.report.coverage.attack import notice
from engine.report.coverage.members import in_words
from engine.report.coverage.model import VERDICTS, Coverage, LookCoverage, MemberCoverage, RowCoverage

_MEANING = {
    "EVALUABLE": "all that the rule needs arrives",
    "DEGRADED": "part of what it needs arrives, or from some devices, or its guards see too little",
    "BLIND": "it cannot fire, or not in time: its silence says nothing",
}
_COLUMNS = (
    *("looks for", "kind", "verdict", "devices", "events", "fields", "p50, p95 late", "sources"),
    *("last event", "last fit"),
)


def to_markdown(coverage: Coverage) -> str:
    """The report as a page."""
    return "\n".join(_lines(coverage)) + "\n"


def _lines(coverage: Coverage) -> Iterator[str]:
    yield "# Coverage"
    yield ""
    if coverage.basis == "rules":
        yield "By the catalogue of sources alone: what could be seen if every known source reported."
    else:
        yield (
            f"{coverage.events:,} events of {coverage.devices:,} devices, {coverage.first or 'none'} to "
            f"{coverage.last or 'none'}."
        )
        if coverage.uncounted:
            yield f"{coverage.uncounted:,} events are of further devices, which were not told apart."
    yield ""
    for verdict in reversed(VERDICTS):
        rules = sorted({row.rule for row in coverage.rules if row.verdict == verdict})
        if rules:
            names = ", ".join(_plain(rule) for rule in rules)
            yield f"- **{verdict}** ({_MEANING[verdict]}): {names}"
    yield ""
    yield "| rule | platform | group | verdict | devices | why |"
    yield "|---|---|---|---|---|---|"
    for row in coverage.rules:
        why = _cell("; ".join(row.reasons[:2]))
        what = f"{_plain(row.rule)} | {row.platform} | {_cell(row.group)}"
        yield f"| {what} | **{row.verdict}** | {_devices(row)} | {why} |"
    for row in coverage.rules:
        yield ""
        yield from _rule(row)
    if any(row.techniques for row in coverage.rules):
        yield ""
        yield f"ATT&CK: {notice()}"


def _rule(row: RowCoverage) -> Iterator[str]:
    yield f"## {_plain(row.rule)}, {row.platform}, {_cell(row.group)}: {row.verdict}"
    yield ""
    yield _cell(row.title)
    if row.attack:
        via = ", ".join(
            f"{name} ({'META' if how == 'META' else f'via {how}'})" for name, how in row.techniques.items()
        )
        yield ""
        yield f"ATT&CK: {', '.join(row.attack)}{f'; {via}' if via else ''}."
    if row.reasons:
        yield ""
        yield from (f"- {_cell(reason)}" for reason in row.reasons)
    if row.looks:
        yield ""
        yield f"| {' | '.join(_COLUMNS)} |"
        yield "|---" * len(_COLUMNS) + "|"
        for look in row.looks:
            yield from (_member(look, member) for member in look.members)
    facts = [
        f"baseline {_plain(b.name)}: {b.verdict}, {b.answered:,} of {b.keys:,} keys can answer, {b.ready:,} "
        "by their own history"
        for b in row.baselines
        if b.keys is not None and b.answered is not None and b.ready is not None
    ]
    if row.longest_ms is not None:
        kept = (
            "" if row.retention_ms is None else f"; the input is kept for {format_duration(row.retention_ms)}"
        )
        facts.append(f"a match can look back {format_duration(row.longest_ms)}{kept}")
    if row.alerts is not None:
        facts.append(
            f"alerts: {row.alerts:,}" + (f", the last at {row.last_alert}" if row.last_alert else "")
        )
    if facts:
        yield ""
        yield from (f"- {fact}" for fact in facts)
    if row.not_observable or row.not_seen:
        yield ""
        yield "Not observable:"
        yield ""
        yield from (f"- {_cell(one.what)}: {_cell(one.reason)}" for one in row.not_observable)
        yield from (f"- {_cell(one)} (the author)" for one in row.not_seen)


def _member(look: LookCoverage, member: MemberCoverage) -> str:
    fields = ", ".join(
        f"`{field.name}`" + ("" if field.share is None else f" {field.share:.0%}") for field in member.fields
    )
    late = (
        ""
        if member.lateness is None
        else f"{in_words(member.lateness.p50_ms)}, {in_words(member.lateness.p95_ms)}"
    )
    if member.reporting:
        sources = ", ".join(f"{_cell(name)} ({count:,})" for name, count in member.reporting.items())
    else:
        sources = f"none; could: {', '.join(member.able)}" if member.able else "none"
    what = f"{look.role} {_plain(look.what)}"
    devices = "" if look.devices is None else f"{member.devices:,}"
    cells = (what, member.kind, member.verdict, devices, f"{member.events:,}", fields, late, sources)
    return f"| {' | '.join(cells)} | {member.last_event or ''} | {look.last_match or ''} |"


def _devices(row: RowCoverage) -> str:
    if row.devices is None:
        return ""
    found = row.devices
    return (
        f"{found.evaluable:,} of {found.all:,} evaluable, {found.degraded:,} degraded, {found.blind:,} blind"
    )


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _cell(text: str) -> str:
    """Text for a table's cell or a line: no markup of its own, no line end, nothing unprintable."""
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
