"""One work: the engine beside the floor and the hand-written reference, counts checked."""

from __future__ import annotations

import gc
from collections.abc import Callable
from statistics import median
from time import process_time

from benchmarks.floor import floor_decoder
from benchmarks.measure import Run, in_turn, ratio
from benchmarks.result import AlertCost, Result
from benchmarks.works.work import CannotRun, Chains, Work
from engine import Matcher
from engine.alerts import Alert, encode
from engine.events import POSITION_SHIFT

ONE_RECORD = 1 << POSITION_SHIFT
_COUNTS = {"create": 1, "update": 0, "close": -1}
BATCH = 100
"""Events that go in together, as one message of the service may hold."""
TOGETHER = 10
"""Alerts built one after the other before they are encoded, so that reading the clock costs nothing."""
CHAINS = 1_000
"""Alerts made for the cost of one: enough for a tenth of a second."""


def matcher_of(work: Work) -> Matcher:
    """A fresh engine for the work.

    Raises:
        CannotRun: see there.
    """
    if work.ruleset.errors:
        raise CannotRun(f"the rules of `{work.name}` have errors: {work.ruleset.errors[0].message}")
    matcher = Matcher(work.ruleset)
    if work.counted is not None and not work.counted <= set(matcher.rules):
        missing = ", ".join(sorted(work.counted - set(matcher.rules)))
        raise CannotRun(f"the engine cannot run `{missing}` of `{work.name}`, or the rules lack it")
    if work.counted is None and matcher.diagnostics:
        raise CannotRun(f"the engine cannot run `{work.name}`: {matcher.diagnostics[0].message}")
    return matcher


def feed_all(matcher: Matcher, lines: list[bytes], alerts: list[Alert] | None = None) -> int:
    """Events as bytes in, ``BATCH`` at a time, alerts as bytes out; gives the number of alerts and collects
    them if asked to.
    """
    feed = matcher.feed_many
    found = 0
    for begin in range(0, len(lines), BATCH):
        for alert in feed(lines[begin : begin + BATCH], (begin + 1) * ONE_RECORD, ONE_RECORD, _never_bad):
            encode(alert)
            found += 1
            if alerts is not None:
                alerts.append(alert)
    return found


def _never_bad(bad: Exception, position: int) -> None:
    raise bad


def feed_late(matcher: Matcher, lines: list[bytes], alerts: list[Alert] | None = None) -> int:
    """The same where events are late; gives the number of alerts that are open when all clocks have
    passed.
    """
    feed = matcher.feed_json
    found = 0
    position = 0
    for line in lines:
        position += ONE_RECORD
        for alert in feed(line, position):
            encode(alert)
            found += _COUNTS[alert.activity]
            if alerts is not None:
                alerts.append(alert)
    for alert in matcher.close():
        encode(alert)
        found += _COUNTS[alert.activity]
        if alerts is not None:
            alerts.append(alert)
    return found


def measure(work: Work, rounds: int) -> Result:
    """Measure one work. Raises CannotRun; a wrong count is in the result, not an exception."""
    matcher = matcher_of(work)
    lines = work.lines
    decode = floor_decoder(matcher.decoder)
    rules = len(matcher.rules)
    feed = feed_late if work.late else feed_all
    alerts: list[Alert] = []
    feed(matcher, lines, alerts)
    counted = sum(
        _COUNTS[alert.activity] for alert in alerts if work.counted is None or alert.rule.name in work.counted
    )
    # With a thousand rules its state is gigabytes; one at a time is enough.
    del matcher, alerts

    def engine() -> Run:
        fresh = matcher_of(work)
        return lambda: feed(fresh, lines)

    def floor() -> int:
        for line in lines:
            decode(line)
        return len(lines)

    def reference() -> Run:
        return lambda: work.reference(lines)

    keeping = work.keeping
    tasks: dict[str, Callable[[], Run]] = {"floor": lambda: floor, "reference": reference, "engine": engine}
    if keeping is not None:
        tasks["keeping"] = lambda: lambda: keeping(lines)
    timings = in_turn(tasks, rounds)
    kept = timings.get("keeping")
    reference_count = timings["reference"].count
    return Result(
        work=work.name,
        about=work.about,
        rules=rules,
        events=len(lines),
        bytes_per_event=round(sum(map(len, lines)) / len(lines), 1),
        rounds=rounds,
        alerts=timings["engine"].count,
        counted=counted,
        expected=reference_count if work.brute_force is None else work.brute_force(lines),
        reference_count=reference_count,
        seconds=timings["engine"].median,
        wall=median(timings["engine"].walls),
        floor_seconds=timings["floor"].median,
        reference_seconds=timings["reference"].median,
        to_floor=ratio(timings["engine"], timings["floor"]),
        to_reference=ratio(timings["engine"], timings["reference"]) if work.whole else None,
        reference_to_floor=ratio(timings["reference"], timings["floor"]),
        budget=work.budget,
        alert=None if work.chains is None else alert_cost(work, work.chains, rounds),
        keeping_count=None if kept is None else kept.count,
        to_keeping=None if kept is None else ratio(timings["engine"], kept),
        keeping_to_floor=None if kept is None else ratio(kept, timings["floor"]),
    )


def alert_cost(work: Work, chains: Chains, rounds: int) -> AlertCost:
    """The cost of one alert: chains that alert beside the same chains that miss by a millisecond; and, for
    the matches of those that alert, building and encoding alone.

    Raises:
        CannotRun: the chains do not alert, or those that should miss do.
    """
    found: list[Alert] = []

    def prepare(alerting: bool) -> Callable[[], Run]:
        before, lines = chains(CHAINS, alerting)

        def fresh() -> Run:
            matcher = matcher_of(work)
            feed_all(matcher, before)
            events = [event for line in lines if (event := matcher.decoder.decode(line)) is not None]
            found.clear()

            def run() -> int:
                alerts = 0
                for event in events:
                    for alert in matcher.feed(event):
                        alerts += 1
                        found.append(alert)
                return alerts

            return run

        return fresh

    timings = in_turn({"missing": prepare(False), "alerting": prepare(True)}, rounds)
    if timings["missing"].count or timings["alerting"].count != CHAINS:
        wrong = f"give {timings['alerting'].count} alerts, missing ones {timings['missing'].count}"
        raise CannotRun(f"the {CHAINS} chains of `{work.name}` {wrong}")
    whole = timings["alerting"].median - timings["missing"].median
    found.clear()
    apart = [_apart(work, chains) for _ in range(rounds)]
    building, encoding = (median(seconds) for seconds in zip(*(times for times, _ in apart), strict=True))
    return AlertCost(
        building / CHAINS * 1e6, encoding / CHAINS * 1e6, apart[0][1] // CHAINS, whole / CHAINS * 1e6
    )


def _apart(work: Work, chains: Chains) -> tuple[tuple[float, float], int]:
    """The CPU seconds to build the alerts of all chains from their matches and to encode them, each encoded
    soon after it is built, as the engine's callers do; and their bytes.
    """
    matcher = matcher_of(work)
    before, lines = chains(CHAINS, True)
    feed_all(matcher, before)
    feed_all(matcher, lines)
    # What was published is remembered, with the match that it rests on.
    matches = [
        (runtime.builder, published.match)
        for runtime in matcher.runtimes
        for state in runtime.devices.values()
        for published in state.published
    ]
    # Alerts stay, as they do while they can still change.
    alerts: list[Alert] = []
    building = encoding = 0.0
    size = 0
    gc.collect()
    gc.freeze()
    for number in range(0, len(matches), TOGETHER):
        begin = process_time()
        for builder, match in matches[number : number + TOGETHER]:
            alerts.append(builder.create(match, builder.identity(match), 0))
        built = process_time()
        size += sum(len(encode(alert)) for alert in alerts[number:])
        encoding += process_time() - built
        building += built - begin
    gc.unfreeze()
    return (building, encoding), size
