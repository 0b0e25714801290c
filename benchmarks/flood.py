"""``python -m benchmarks.flood``: one device sends a million events that fit every rule. It stays within
its caps, and the alerts of all other devices are what they are without the flood.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from random import Random
from time import perf_counter

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import dsl
from benchmarks import long_run, state
from benchmarks.generate.fleet import APPS, RULES, Fleet
from engine import Matcher
from engine.alerts import Alert, encode
from engine.events import POSITION_SHIFT
from engine.rule_runtime import MAX_KEPT

SIZES = {"short": (30, 1_500, 20_000), "long": (1_000, 100_000, 1_000_000)}
"""Devices, their events, and events of the flood."""
FLOODER = "flooder"
KINDS = ("probe", "exploit", "probe", "beat", "patch")
LATE_IN = 500
"""One event of the flood in so many comes late, so that what is kept of it runs again."""
UNTRIMMED = 64
"""Events that a rule may keep of a device beyond the cap, until it looks (``_TRIM_EVERY``)."""
EXTRA_BYTES = 12 << 20
"""State that the flood may add: a kept event with its event, id and place takes about a kilobyte, and
what may be published about the device while it can still change as much again and more.
"""


class Side(msgspec.Struct, frozen=True):
    """A run with or without the flood: what was said of the other devices, and the state at the end."""

    seconds: float
    alerts: int
    digest: str
    dropped: dict[str, int]
    state: state.State


class Flood(msgspec.Struct, frozen=True):
    """What a run found. ``wrong`` are sentences; empty: all is as it should be."""

    form: str
    events: int
    flood: int
    without: Side
    with_it: Side
    flooders_alerts: int
    extra_kept: int
    extra_bytes: int
    wrong: list[str]


def flood_lines(many: int, times: Sequence[int], number: int, random: Random) -> Iterator[bytes]:
    """``many`` events of one device at the time last seen, a few of them earlier."""
    for index in range(many):
        kind, app = KINDS[(number + index) % len(KINDS)], random.choice(APPS)
        time = times[-1] if (number + index) % LATE_IN else random.choice(times)
        yield (
            f'{{"kind":"{kind}","device":"{FLOODER}","time":{time},"id":"f{number + index}","app":"{app}"}}'
        ).encode()


def run(form: str = "long", seed: int = 1, progress: Progress | None = None) -> Flood:
    """Both runs, and what differs. ``form``: see ``SIZES``."""
    _, events, many = SIZES[form]
    without, _ = _side(form, seed, 0, progress)
    with_it, own = _side(form, seed, many, progress)
    rules = len(with_it.dropped)
    kept = with_it.state.of_type["Kept"] - without.state.of_type["Kept"]
    extra = with_it.state.bytes - without.state.bytes
    wrong: list[str] = []
    if (without.alerts, without.digest) != (with_it.alerts, with_it.digest):
        wrong.append(
            f"other devices: {without.alerts:,} alerts without it, {with_it.alerts:,} with it, or others"
        )
    if not without.alerts:
        wrong.append("no other device has an alert: that shows nothing")
    if any(without.dropped.values()):
        wrong.append("something was dropped at a cap without any flood")
    # An alert that can still change holds on to its evidence, though it is kept no more.
    evidence = 3 * (with_it.state.of_type["Published"] - without.state.of_type["Published"])
    if kept > rules * (MAX_KEPT + UNTRIMMED) + evidence:
        wrong.append(f"the flood keeps {kept:,} events; {rules} rules may keep {MAX_KEPT:,} each")
    if extra > EXTRA_BYTES:
        wrong.append(f"the flood adds {extra:,} bytes of state; {EXTRA_BYTES:,} is the bound")
    if not sum(with_it.dropped.values()):
        wrong.append("the flood met no cap: that shows nothing")
    return Flood(form, events, many, without, with_it, own, kept, extra, wrong)


def _side(form: str, seed: int, many: int, progress: Progress | None) -> tuple[Side, int]:
    """One run; also how many publications the flooder had."""
    devices, events, _ = SIZES[form]
    matcher = Matcher(dsl.load_text(RULES))
    random = Random(seed)
    name = "with the flood" if many else "without"
    task = None if progress is None else progress.add_task(name, total=events + many)
    # When something is said may depend on the flood, for it moves clocks; what is said may not.
    said: list[bytes] = []
    own = position = sent = 0
    times: list[int] = []
    begin = perf_counter()

    def feed(line: bytes) -> None:
        nonlocal own, position
        position += 1 << POSITION_SHIFT
        event = matcher.decoder.decode(line)
        if event is None:
            return
        for alert in matcher.feed(event, position):
            if alert.device == FLOODER:
                own += 1
            else:
                said.append(encode(_of_the_device(alert)))

    fleet = Fleet(devices, events, seed)
    for number, line in enumerate(fleet.lines(), start=1):
        feed(line)
        times.append(int(msgspec.json.decode(line)["time"]))
        del times[:-200]
        newest = [*times, max(times)]
        due = many * number // events - sent
        for one in flood_lines(due, newest, sent, random):
            feed(one)
        sent += due
        if progress is not None and task is not None and not number % 64:
            progress.update(task, completed=number + sent)
    at_the_end = [alert for alert in matcher.close(fleet.now) if alert.device != FLOODER]
    said += [encode(_of_the_device(alert)) for alert in at_the_end]
    dropped = {rule: count.dropped for rule, count in matcher.rule_counts().items()}
    digest = sha256(b"\n".join(sorted(said))).hexdigest()
    seconds = round(perf_counter() - begin, 1)
    return Side(seconds, len(said), digest, dropped, state.measure(matcher)), own


def _of_the_device(alert: Alert) -> Alert:
    """The alert without what it says of the process: since when it has watched the types of guards. That
    is the time of the first event it saw, whoever sent it.
    """
    known = msgspec.structs.replace(alert.confidence, level="low", why=[])
    return msgspec.structs.replace(alert, gaps=[], confidence=known)


def show(result: Flood, console: Console) -> None:
    """Both runs side by side."""
    table = Table(
        "", "seconds", "alerts of others", "dropped at caps", "state MB", "kept events", "published"
    )
    for name, side in (("without", result.without), ("with the flood", result.with_it)):
        kinds = side.state.of_type
        table.add_row(
            name,
            f"{side.seconds:,}",
            f"{side.alerts:,}",
            f"{sum(side.dropped.values()):,}",
            f"{side.state.bytes / 1e6:,.1f}",
            f"{kinds['Kept']:,}",
            f"{kinds['Published']:,}",
        )
    console.print(table)
    console.print(
        f"{result.events:,} events and a flood of {result.flood:,} from one device, of which "
        f"{result.flooders_alerts:,} alerts were said; it adds {result.extra_bytes / 1e6:,.1f} MB"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """See ``long_run.main``."""
    return long_run.main("flood", __doc__, "a flood of 20,000 events beside 30 devices", run, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
