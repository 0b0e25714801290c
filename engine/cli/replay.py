"""``thenwire replay``: recorded telemetry through the rules."""

from __future__ import annotations

import contextlib
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from engine.alerts import Alert, encode
from engine.cli.common import UsageError, complain, err, load_rules, out, plural, print_diagnostics
from engine.cli.show import alert_panel, latest, print_alerts, safe
from engine.matcher import Matcher
from engine.replay import Recording, Replay, Tally
from engine.sources import SOURCES

MAX_SHOWN = 10_000
"""Alerts held for the table; the rest are counted. With --json nothing is held."""


def replay(
    *files: Annotated[str, Parameter(allow_leading_hyphen=True)],
    rules: Annotated[list[str], Parameter(negative="", consume_multiple=True)],
    json: Annotated[bool, Parameter(negative="")] = False,
    full: Annotated[bool, Parameter(negative="")] = False,
    source: str | None = None,
    device: str | None = None,
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
    full
        Each alert whole, with its evidence and reason, instead of a table.
    source
        The format of all files, where the content does not show it.
    device
        The device of records that do not name one, such as an App Privacy Report.
    set_
        PARAM=value, as a deployment would set it.
    fail_on_alert
        Exit with 1 if an alert is open at the end.
    """
    # `--rules` takes all that follows it; a file that is no rule file was meant as a recording.
    files = (*files, *(path for path in rules if _is_recording(path)))
    rules = [path for path in rules if not _is_recording(path)]
    # A lone `-` has to get through, so the parser lets every other hyphen through as well.
    unknown = next((name for name in files if name.startswith("-") and name != "-"), None)
    if unknown is not None:
        raise UsageError(f"there is no option `{unknown}`")
    if not files:
        raise UsageError("no recordings are given; `-` reads standard input")
    if source is not None and source not in SOURCES:
        raise UsageError(f"there is no source `{source}`; the sources are {', '.join(SOURCES)}")
    ruleset = load_rules(rules, set_ or ())
    matcher = Matcher(ruleset)
    print_diagnostics(ruleset, [*ruleset.errors, *matcher.diagnostics], err)
    if not matcher.rules:
        raise UsageError("no rule is left to run")
    shown: list[Alert] = []
    states: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        recordings = [Recording(_open(name, stack), name, source, device) for name in files]
        progress = stack.enter_context(_progress())
        task = progress.add_task("reading", total=None)
        work = Replay(matcher, recordings, lambda records: progress.update(task, completed=records))
        for alert in work.run():
            states[alert.id] = alert.status
            if json:
                sys.stdout.buffer.write(encode(alert) + b"\n")
            elif len(states) <= MAX_SHOWN:
                shown.append(alert)
        progress.update(task, completed=work.tally.records)
    if json:
        sys.stdout.buffer.flush()
    elif full:
        for alert in latest(shown):
            out.print(alert_panel(alert))
    else:
        print_alerts(shown, out)
    _summary(work.tally, matcher, states)
    if not work.tally.records and work.tally.refused:
        complain("nothing could be read")
        return 2
    return 1 if fail_on_alert and "open" in states.values() else 0


def _is_recording(path: str) -> bool:
    return path == "-" or (not path.endswith(".rule") and Path(path).is_file())


def _open(name: str, stack: contextlib.ExitStack) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    path = Path(name)
    try:
        if path.is_dir():
            raise UsageError(f"`{name}` is a folder; name the recordings in it")
        stream: BinaryIO = stack.enter_context(path.open("rb"))
        if stream.read(2) == b"\x1f\x8b":
            stream.seek(0)
            return stack.enter_context(gzip.open(stream, "rb"))  # type: ignore[return-value]  # reads like one
        stream.seek(0)
    except OSError as error:
        raise UsageError(f"`{name}` cannot be read: {(error.strerror or 'not readable').lower()}") from None
    return stream


def _progress() -> Progress:
    """A bar on standard error, only where a person sits there."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def _summary(tally: Tally, matcher: Matcher, states: dict[str, str]) -> None:
    """What was read and what was not, on standard error."""
    for line in _summary_lines(tally, matcher, states):
        err.print(line)


def _summary_lines(tally: Tally, matcher: Matcher, states: dict[str, str]) -> Iterator[Text]:
    late = sum(count.late for count in matcher.counts.values())
    opened = sum(status == "open" for status in states.values())
    yield Text(
        f"{plural(tally.records, 'event')} of {plural(len(tally.devices), 'device')}, "
        f"{plural(len(matcher.rules), 'rule')}, {plural(len(states), 'alert')}"
        + (f" ({len(states) - opened} closed again)" if opened < len(states) else "")
    )
    if tally.unread:
        yield Text(f"  {plural(tally.unread, 'event')} of kinds that no rule reads")
    for kind, count in sorted(tally.unknown.items()):
        yield safe(f"  {plural(count, 'event')} passed over: no EVENT declares the kind {kind}")
    if late:
        yield Text(f"  {plural(late, 'event')} came too late to be matched")
    for reason, count in sorted(tally.refused.items()):
        yield Text(f"  {plural(count, 'record')} refused: {reason}", "yellow")
        for example in tally.examples[reason]:
            yield safe(f"    {example.origin}: {example.detail}")
    for name, counts in matcher.rule_counts().items():
        if counts.unkeyed:
            unused = plural(counts.unkeyed, "event")
            yield safe(f"  {unused} unused by {name.replace('_', ' ')}: a key field is missing")
        if counts.dropped:
            yield safe(f"  {plural(counts.dropped, 'event')} dropped at a cap of {name.replace('_', ' ')}")
