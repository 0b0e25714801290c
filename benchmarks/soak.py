"""``python -m benchmarks.soak``: five million events over a hundred thousand devices, half of which
leave for good. Alerts must be as many as an independent count says, and the state that is left must
be that of the devices that stayed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import perf_counter

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import dsl
from benchmarks import long_run, state
from benchmarks.generate.fleet import INTERVAL_MS, KEEP_MS, RULES, Fleet
from engine import Matcher
from engine.events import POSITION_SHIFT

SIZES = {"short": (300, 30_000), "long": (100_000, 5_000_000)}
"""Devices and events."""
PHASES = 9
FORGOTTEN_MS = KEEP_MS * 9 // 8
"""A state is forgotten at most an eighth of that time late (engine/expiry.py)."""
UNTRIMMED = 64
"""Events that a rule keeps of a device before it looks whether they can still matter (``_TRIM_EVERY``)."""


class Phase(msgspec.Struct, frozen=True):
    """Where things stood after a ninth of the events; ``devices``: states the rules hold."""

    events: int
    resident: int
    devices: dict[str, int]
    open_alerts: int
    state: state.State | None


class Soak(msgspec.Struct, frozen=True):
    """What a run found. ``wrong`` are sentences; empty: all is as it should be."""

    form: str
    devices: int
    live: int
    events: int
    seconds: float
    expected: dict[str, int]
    found: dict[str, int]
    dropped: int
    too_late: int
    phases: list[Phase]
    bytes_a_live_device: int
    most_kept: int
    wrong: list[str]


def run(form: str = "long", seed: int = 1, progress: Progress | None = None) -> Soak:
    """Feed the fleet and check. ``form``: see ``SIZES``."""
    devices, events = SIZES[form]
    fleet = Fleet(devices, events, seed)
    matcher = Matcher(dsl.load_text(RULES))
    task = None if progress is None else progress.add_task("feeding", total=events)
    open_alerts: dict[str, str] = {}
    revisions = 0
    phases: list[Phase] = []
    decode, feed = matcher.decoder.decode, matcher.feed
    begin = perf_counter()
    for number, line in enumerate(fleet.lines(), start=1):
        event = decode(line)
        if event is not None:
            for alert in feed(event, number << POSITION_SHIFT):
                revisions += 1
                if alert.status == "open":
                    open_alerts[alert.id] = alert.rule.name
                else:
                    open_alerts.pop(alert.id, None)
        if progress is not None and task is not None and not number % 4096:
            progress.update(task, completed=number)
        if number * PHASES // events > len(phases):
            phases.append(_phase(matcher, number, len(open_alerts), third=not (len(phases) + 1) % 3))
    for alert in matcher.close(fleet.now):
        if alert.status == "open":
            open_alerts[alert.id] = alert.rule.name
        else:
            open_alerts.pop(alert.id, None)
    seconds = perf_counter() - begin
    expected = fleet.counter.end(fleet.now)
    found = {rule: sum(name == rule for name in open_alerts.values()) for rule in expected}
    last = phases[-1].state
    assert last is not None
    heard = fleet.heard_since(fleet.now - FORGOTTEN_MS)
    result = Soak(
        form=form,
        devices=devices,
        live=fleet.live(),
        events=events,
        seconds=round(seconds, 1),
        expected=expected,
        found=found,
        dropped=sum(count.dropped for count in matcher.rule_counts().values()),
        too_late=sum(count.late for count in matcher.counts.values()),
        phases=phases,
        bytes_a_live_device=last.bytes // fleet.live(),
        most_kept=heard * (UNTRIMMED * len(expected) + FORGOTTEN_MS // INTERVAL_MS),
        wrong=[],
    )
    result.wrong.extend(_wrong(result, last, heard))
    return result


def _phase(matcher: Matcher, events: int, open_alerts: int, third: bool) -> Phase:
    """``third``: also walk the state, which takes a while."""
    devices = {rule: count.devices for rule, count in matcher.rule_counts().items()}
    walked = state.measure(matcher) if third else None
    return Phase(events, state.resident_bytes(), devices, open_alerts, walked)


def _wrong(result: Soak, last: state.State, heard: int) -> list[str]:
    wrong = [
        f"`{rule}`: {result.found[rule]:,} alerts are open, {number:,} are right"
        for rule, number in result.expected.items()
        if result.found[rule] != number
    ]
    if result.dropped or result.too_late:
        wrong.append(f"{result.dropped:,} things were dropped and {result.too_late:,} events too late")
    for rule, devices in result.phases[-1].devices.items():
        if devices > heard:
            wrong.append(f"`{rule}` knows {devices:,} devices; {heard:,} were heard lately")
    if last.of_type["Kept"] > result.most_kept:
        wrong.append(f"{last.of_type['Kept']:,} events are kept; {result.most_kept:,} is the bound")
    return wrong


def show(result: Soak, console: Console) -> None:
    """The phases and the counts as tables."""
    table = Table(
        "events", "resident MB", "devices known", "open alerts", "state MB", "kept events", "published"
    )
    for phase in result.phases:
        walked = phase.state
        more = ("", "", "")
        if walked is not None:
            kinds = walked.of_type
            more = (f"{walked.bytes / 1e6:,.0f}", f"{kinds['Kept']:,}", f"{kinds['Published']:,}")
        devices = " ".join(f"{rule} {number:,}" for rule, number in phase.devices.items())
        table.add_row(
            f"{phase.events:,}", f"{phase.resident / 1e6:,.0f}", devices, f"{phase.open_alerts:,}", *more
        )
    console.print(table)
    rate = result.events / result.seconds
    console.print(
        f"{result.events:,} events, {result.devices:,} devices, {result.live:,} of them live at the end: "
        f"{result.bytes_a_live_device:,} bytes a live device, at most {result.most_kept:,} events kept; "
        f"{rate:,.0f} events/s"
    )
    counts = ", ".join(f"{rule} {result.found[rule]:,} of {n:,}" for rule, n in result.expected.items())
    console.print(f"alerts open at the end: {counts}")


def main(arguments: Sequence[str] | None = None) -> int:
    """See ``long_run.main``."""
    return long_run.main("soak", __doc__, "300 devices and 30,000 events", run, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
