"""``thenwire why``: how near a rule came to alerting for a device, and what was in the way."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.table import Table

from dsl.diagnostics import did_you_mean
from engine.alerts import Alert, rfc3339
from engine.cli.common import UsageError, err, load_rules, out, plural, print_diagnostics
from engine.cli.recordings import opened, reading_progress
from engine.cli.show import print_alerts, safe
from engine.events import epoch_ms
from engine.replay import Recording, Replay, Takes
from engine.sources import SOURCES
from engine.why.recorded import MAX_EVENTS, Answer, TooManyEvents
from engine.why.recorded import why as ask


def why(
    *files: str,
    rules: Annotated[list[str], Parameter(negative="", consume_multiple=True)],
    rule: str,
    device: str,
    at: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    source: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> int:
    """Say why a rule did not alert for a device: the step where it died, by what and by how much.

    Parameters
    ----------
    files
        Recordings, read twice; `.gz` is unpacked.
    rules
        Files or folders of .rule files, or the name of a shipped pack.
    rule
        The rule to ask about.
    device
        The device to ask about, and that of records that do not name one.
    at
        The time to look around, such as 2026-03-02T11:01:00Z. Left out, it is that of the device's last
        event that fits the first step.
    json
        The answer as one JSON object.
    source
        The format of all files, where the content does not show it.
    set_
        PARAM=value, as a deployment would set it.
    """
    if not files or "-" in files:
        raise UsageError("name the recordings as files: they are read twice")
    if source is not None and source not in SOURCES:
        raise UsageError(f"there is no source `{source}`; the sources are {', '.join(SOURCES)}")
    ruleset = load_rules(rules, set_ or ())
    print_diagnostics(ruleset, ruleset.errors, err)
    name = "_".join(rule.replace("_", " ").split())
    if name not in ruleset.rules:
        raise UsageError(f"there is no rule `{rule}`{did_you_mean(name, ruleset.rules, '')}")
    if "device" not in ruleset.rules[name].by:
        raise UsageError(f"`{rule}` is about no device in particular")
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(reading_progress())

        def read(takes: Takes) -> Iterable[Alert]:
            with contextlib.ExitStack() as open_files:
                recordings = [Recording(opened(file, open_files), file, source, device) for file in files]
                task = progress.add_task("reading", total=None)
                work = Replay(takes, recordings, lambda records: progress.update(task, completed=records))
                yield from work.run()

        try:
            answer = ask(ruleset, name, device, read, None if at is None else _time(at))
        except TooManyEvents:
            raise UsageError(
                f"{device} sent more than {MAX_EVENTS:,} events that matter around that time: give "
                "a recording of a shorter time, or another --at"
            ) from None
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
    else:
        _print(answer)
    return 0


def _time(text: str) -> int:
    try:
        return epoch_ms(text)
    except ValueError as error:
        raise UsageError(f"--at takes a time such as 2026-03-02T11:01:00Z: {error}") from None


def _print(answer: Answer) -> None:
    rule = answer.rule.replace("_", " ")
    if answer.alerts:
        out.print(safe(f"{rule} did alert for {answer.device}:"))
        print_alerts(answer.alerts, out)
    if answer.around_ms is None:
        out.print(safe(f"{answer.device} sent nothing that {rule} reads."))
        return
    miss = answer.miss
    if miss is None:
        if not answer.alerts:
            out.print(
                safe(f"{rule} does alert on what {answer.device} sent around {rfc3339(answer.around_ms)}.")
            )
        return
    out.print(safe(f"{rule}, {answer.device}, around {rfc3339(answer.around_ms)}"), style="bold")
    table = Table(box=None, pad_edge=False, show_header=False)
    for number, passed in enumerate(miss.passed, 1):
        table.add_row(safe(f"step {number}"), safe(passed.step), safe(rfc3339(passed.time_ms)))
    if miss.passed:
        out.print(table)
    out.print(safe(miss.sentence))
    out.print(safe(f"{plural(answer.events, 'event')} of the device looked at"), style="dim")
