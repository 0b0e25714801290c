"""``thenwire replay``: recorded telemetry through the rules."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter
from rich.text import Text

from engine.alerts import Alert, encode
from engine.caps import CapWarning
from engine.cli.common import UsageError, complain, err, load_rules, out, plural, print_diagnostics
from engine.cli.compare import Against
from engine.cli.recordings import opened, reading_progress
from engine.cli.report import Page
from engine.cli.show import alert_panel, latest, print_alerts, safe
from engine.matcher import Matcher
from engine.replay import Recording, Replay, Tally
from engine.report.ocsf import encode_finding
from engine.sources import SOURCES, times

Format: TypeAlias = Literal["table", "full", "json", "ocsf"]
MAX_WARNINGS = 20
"""Lines about caps that were met; a flood from many devices would bury the rest."""
MAX_SHOWN = 10_000
"""Alerts held for the table; the rest are counted. With --format json or ocsf nothing is held."""


def replay(
    *files: Annotated[str, Parameter(allow_leading_hyphen=True)],
    rules: Annotated[list[str], Parameter(negative="", consume_multiple=True)],
    json: Annotated[bool, Parameter(negative="")] = False,
    full: Annotated[bool, Parameter(negative="")] = False,
    format_: Annotated[Format | None, Parameter(name="--format")] = None,
    report: Path | None = None,
    against: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    against_set: Annotated[list[str] | None, Parameter(negative="")] = None,
    source: str | None = None,
    device: str | None = None,
    time_zone: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    fail_on_alert: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run recorded telemetry through rules: NDJSON events, Zeek, crash reports, and more.

    Several files are merged by time. The format of each is found by its content.

    Parameters
    ----------
    files
        Recordings; `-` is standard input, `.gz` is unpacked.
    rules
        Files or folders of .rule files, or the name of a shipped pack.
    json
        Alerts as NDJSON on standard output instead of a table; the summary goes to standard error.
        The same as `--format json`.
    full
        Each alert whole, with its evidence and reason, instead of a table. The same as `--format full`.
    format_
        `table`, `full`, `json`, or `ocsf`: each alert as an OCSF Detection Finding, one JSON object a line.
    report
        Write one HTML page that explains the alerts, and the silence of rules, to this file.
    against
        Other rules, such as those in force: say which alerts appear, vanish or change with --rules. Exit
        with 1 if any does.
    against_set
        PARAM=value for the other rules; --set is for those of --rules only.
    source
        The format of all files, where the content does not show it.
    device
        The device of records that do not name one, such as an App Privacy Report.
    time_zone
        Where the clock stood of logs with local times: `+02:00`, or a name such as `Europe/Lisbon`.
    set_
        PARAM=value, as a deployment would set it.
    fail_on_alert
        Exit with 1 if an alert is open at the end.
    """
    # `--rules` takes all that follows it; a file that is no rule file was meant as a recording.
    files = (*files, *(path for path in [*rules, *(against or ())] if _is_recording(path)))
    rules = [path for path in rules if not _is_recording(path)]
    against = None if against is None else [path for path in against if not _is_recording(path)]
    # A lone `-` has to get through, so the parser lets every other hyphen through as well.
    unknown = next((name for name in files if name.startswith("-") and name != "-"), None)
    if unknown is not None:
        raise UsageError(f"there is no option `{unknown}`")
    if not files:
        raise UsageError("no recordings are given; `-` reads standard input")
    if source is not None and source not in SOURCES:
        raise UsageError(f"there is no source `{source}`; the sources are {', '.join(SOURCES)}")
    try:
        zone = None if time_zone is None else times.zone(time_zone)
    except ValueError as error:
        raise UsageError(str(error)) from None
    wanted = _format(format_, json, full)
    if against is not None and (wanted not in ("table", "json") or report is not None or fail_on_alert):
        raise UsageError("--against goes with --json, and with no other form of output")
    if against is None and against_set is not None:
        raise UsageError("--against-set is for the rules of --against")
    ruleset = load_rules(rules, set_ or ())
    page = None if report is None else Page(report)
    matcher = Matcher(ruleset, None if page is None else page.fits.note)
    print_diagnostics(ruleset, [*ruleset.errors, *matcher.diagnostics], err)
    if not matcher.rules:
        raise UsageError("no rule is left to run")
    other = None if against is None else Against(ruleset, matcher, against, against_set or [])
    shown: list[Alert] = []
    states: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        recordings = [Recording(opened(name, stack), name, source, device, zone) for name in files]
        progress = stack.enter_context(reading_progress())
        task = progress.add_task("reading", total=None)
        taking = matcher if other is None else other.both
        work = Replay(taking, recordings, lambda records: progress.update(task, completed=records))
        for alert in work.run():
            states[alert.id] = alert.status
            if page is not None:
                page.alerts.take(alert)
            if wanted in _LINES:
                sys.stdout.buffer.write(_LINES[wanted](alert) + b"\n")
            elif len(states) <= MAX_SHOWN:
                shown.append(alert)
        progress.update(task, completed=work.tally.records)
    code = 1 if fail_on_alert and "open" in states.values() else 0
    if other is not None:
        code = other.report(wanted == "json")
    elif wanted in _LINES:
        sys.stdout.buffer.flush()
    elif wanted == "full":
        for alert in latest(shown):
            out.print(alert_panel(alert))
    else:
        print_alerts(shown, out)
    warnings = matcher.cap_warnings()
    if other is None:
        _summary(work.tally, matcher, states, warnings)
    else:
        _summary(work.tally, matcher, None, [*warnings, *other.warnings()])
    if page is not None:
        page.write(ruleset, matcher, work.tally, recordings, warnings)
    if not work.tally.records and work.tally.refused:
        complain("nothing could be read")
        return 2
    return code


_LINES: dict[str, Callable[[Alert], bytes]] = {"json": encode, "ocsf": encode_finding}
"""Formats of one line an alert."""


def _format(wanted: Format | None, json: bool, full: bool) -> Format:
    """The format that the options ask for; --json and --full are short for two of them."""
    asked: list[Format] = [] if wanted is None else [wanted]
    asked += [name for name, on in (("json", json), ("full", full)) if on]  # type: ignore[misc]  # both are
    if len(set(asked)) > 1:
        raise UsageError(f"{' and '.join(asked)} are two formats; give one")
    return asked[0] if asked else "table"


def _is_recording(path: str) -> bool:
    return path == "-" or (not path.endswith(".rule") and Path(path).is_file())


def _summary(
    tally: Tally, matcher: Matcher, states: dict[str, str] | None, warnings: list[CapWarning]
) -> None:
    """What was read and what was not, on standard error."""
    for line in _summary_lines(tally, matcher, states, warnings):
        err.print(line)


def _summary_lines(
    tally: Tally, matcher: Matcher, states: dict[str, str] | None, warnings: list[CapWarning]
) -> Iterator[Text]:
    late = sum(count.late for count in matcher.counts.values())
    alerts = ""
    if states is not None:
        opened = sum(status == "open" for status in states.values())
        closed = f" ({len(states) - opened} closed again)" if opened < len(states) else ""
        alerts = f", {plural(len(states), 'alert')}{closed}"
    yield Text(
        f"{plural(tally.records, 'event')} of {plural(len(tally.devices), 'device')}, "
        f"{plural(len(matcher.rules), 'rule')}{alerts}"
    )
    if tally.unread:
        yield Text(f"  {plural(tally.unread, 'event')} of kinds that no rule reads")
    for kind, count in sorted(tally.unknown.items()):
        yield safe(f"  {plural(count, 'event')} passed over: no EVENT declares the kind {kind}")
    if late:
        yield Text(f"  {plural(late, 'event')} came too late to be matched")
    known = tally.identity
    if known.leases or known.bad_leases:
        yield Text(
            f"  {plural(known.leases, 'lease')} named the device of "
            f"{plural(known.resolved + known.resolved_late, 'event')}; "
            f"{plural(known.unresolved, 'event')} kept the address"
        )
    if known.bad_leases:
        yield Text(f"  {plural(known.bad_leases, 'lease')} could not be used", "yellow")
    for reason, count in sorted(tally.refused.items()):
        yield Text(f"  {plural(count, 'record')} refused: {reason}", "yellow")
        for example in tally.examples[reason]:
            yield safe(f"    {example.origin}: {example.detail}")
    for name, counts in matcher.rule_counts().items():
        if counts.unkeyed:
            unused = plural(counts.unkeyed, "event")
            yield safe(f"  {unused} unused by {name.replace('_', ' ')}: a key field is missing")
    for warning in warnings[:MAX_WARNINGS]:
        yield safe(f"  {warning}", "yellow")
    if len(warnings) > MAX_WARNINGS:
        yield Text(f"  and {plural(len(warnings) - MAX_WARNINGS, 'more device')} at a cap", "yellow")
