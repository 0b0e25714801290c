"""Writes docs/reference/real-data.md: how often the shipped rules and signals fire on recordings of real devices.

Run it from the checkout: `python docs/make_real_data_report.py`. It reads the recordings in `../shared/data`, which are
no part of the project, and does nothing where they are not. The page holds counts and names of rules: nothing of
what the recordings say of people. A test compares.
"""

import gzip
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dsl  # noqa: E402
from engine.alerts import Alert  # noqa: E402
from engine.matcher import Matcher  # noqa: E402
from engine.report.fits import Fits  # noqa: E402
from engine.sources import SOURCES, Record, times  # noqa: E402
from engine.sources.detect import detect  # noqa: E402
from engine.sources.lines import Input  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "reference" / "real-data.md"
RULES = ROOT / "rules" / "mobile"
DAY_MS = 86_400_000
HISTORY_DAYS = 5
"""More than the 3 days that a novelty baseline needs."""

Wire = dict[str, Any]


class Recording(msgspec.Struct, frozen=True):
    """Files that were recorded together. ``device``: of formats that name none, or that hold one device's traffic."""

    name: str
    kind: str
    files: tuple[str, ...]
    device: str | None = None


RECORDINGS = (
    Recording(
        "App Privacy Report, iOS 15",
        "benign",
        ("ios/app_privacy_report/plaso_ios15_app_privacy_report.ndjson",),
        "phone",
    ),
    Recording(
        "power log, iPadOS 15", "benign", ("ios/powerlog/powerlog_part1_before_2021-11-02T1200.ndjson",), "tablet"
    ),
    Recording("netusage, iOS 14", "benign", ("ios/netusage/plaso_ios_netusage.sqlite",), "phone"),
    Recording(
        "DataUsage and TCC of a backup",
        "benign",
        ("ios/netusage/mvt_ios_DataUsage.sqlite", "ios/tcc/mvt_ios_TCC.db"),
        "phone",
    ),
    Recording(
        "crash reports and tombstones",
        "benign",
        (
            "ios/crash/ios14_itunescloudd_abort_bugtype109.ips",
            "ios/crash/ios16_forcereset_panic_bugtype151.ips",
            "ios/crash/macos12_sleep_bugtype309_json_layout.ips",
            "android/tombstone_00.txt",
            "android/tombstone_01.txt",
        ),
        "phone",
    ),
    Recording(
        "Zeek, network A",
        "unlabelled",
        tuple(f"zeek/slips_test9_mixed_json/{log}.log" for log in ("conn", "dns", "ssl")),
    ),
    Recording(
        "Zeek, network B",
        "unlabelled",
        tuple(f"zeek/slips_test10_mixed_tsv/{log}.log" for log in ("conn", "dns", "ssl")),
    ),
    Recording("Suricata, infected network", "malicious", ("suricata/slips_test6_malicious_eve.json.gz",)),
    Recording("NjRAT, labelled flows", "malicious", ("zeek/ctu_botnet230_njrat_labeled/conn.log.labeled",)),
    Recording("DroidJack, packets", "malicious", ("android/rat_packets/droidjack_packets.csv",)),
    Recording("SpyMax, packets", "malicious", ("android/rat_packets/spymax_packets.csv",)),
)
NJRAT = RECORDINGS[8]


class Count(msgspec.Struct):
    """What came of one recording. ``device_days``: pairs of a device and a UTC day with events.

    ``signals``: events that fit, by signal. ``firsts``, ``matches``: by rule, the runs that began and what completed.
    ``alerts``: by rule, with their devices. ``fitting``: by signal the ids of the events.
    """

    events: int
    device_days: int
    signals: dict[str, int]
    firsts: dict[str, int]
    matches: dict[str, int]
    alerts: dict[str, set[str]]
    fitting: dict[str, set[str]]
    cold: dict[str, int]


def events_of(recording: Recording) -> list[Wire]:
    """The events of a recording by time."""
    found: list[Wire] = []
    for name in recording.files:
        data = (DATA / name).read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        source = Input(BytesIO(data), times.zone("+00:00"))
        answers = SOURCES[detect(source)](source, Path(name).name, recording.device)
        found += [answer.event for answer in answers if isinstance(answer, Record)]
    return sorted(found, key=lambda wire: int(wire["time"]))


def labelled() -> frozenset[str]:
    """Ids of the NjRAT capture's flows that its authors call malicious."""
    lines = (DATA / NJRAT.files[0]).read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return frozenset(row[1] for row in rows if row[-2] == "Malicious")


def moved(wires: Iterable[Wire], by: int, device: str | None = None, mark: str = "") -> Iterator[Wire]:
    """The same events at another time, and of another device; their ids get a mark."""
    for wire in wires:
        other = wire | {"time": int(wire["time"]) + by}
        if "start" in wire:
            other["start"] = int(wire["start"]) + by
        if device is not None:
            other["device"] = device
        if "id" in wire:
            other["id"] = f"{mark}{wire['id']}"
        yield other


def with_history(wires: list[Wire], usual: list[Wire], days: int = HISTORY_DAYS) -> tuple[list[Wire], list[Wire]]:
    """The usual events on each of so many days as a history, and behind them the events themselves. All move forward: a
    capture whose clock began at zero has no time before it."""
    past = [w for day in range(days) for w in moved(usual, day * DAY_MS, mark=f"day {day} ")]
    return past, list(moved(wires, days * DAY_MS))


@cache
def rules_with_counters() -> dsl.RuleSet:
    """The pack, and for each of its signals a rule that publishes nothing and counts."""
    names = dsl.load([RULES]).signals
    text = "\n".join(f"RULE counts {n} {{ WHEN {n} SEVERITY none }}" for n in sorted(names))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "counters.rule"
        path.write_text(text, "utf-8")
        return dsl.load([RULES, path])


def count(
    wires: list[Wire],
    history: list[Wire] = [],  # noqa: B006  # never changed
    keep: Callable[[Wire], bool] = lambda wire: True,
) -> Count:
    """Feed a history, then events, to one engine, and count what the events did."""
    ruleset = rules_with_counters()
    fitting: dict[str, set[str]] = {}
    now: list[Wire] = []
    hits: Counter[str] = Counter()
    fits = Fits()

    def note(rule: int, mask: int, device: str) -> None:
        fits.note(rule, mask, device)
        name = matcher.plan.rules[rule].rule.name
        if now and name.startswith("counts_"):
            hits[name.removeprefix("counts_")] += 1
            fitting.setdefault(name.removeprefix("counts_"), set()).add(str(now[-1].get("id")))

    matcher = Matcher(ruleset, note)
    for wire in sorted(history, key=lambda w: int(w["time"])):
        _feed(matcher, wire)
    was = matcher.rule_counts()
    alerts: dict[str, set[str]] = {}
    days: set[tuple[str, int]] = set()
    fed = 0
    for wire in filter(keep, wires):
        now = [wire]
        for alert in _feed(matcher, wire):
            alerts.setdefault(alert.rule.name, set()).add(alert.device)
        fed += 1
        days.add((str(wire["device"]), int(wire["time"]) // DAY_MS))
    now = []
    for alert in matcher.close():
        alerts.setdefault(alert.rule.name, set()).add(alert.device)
    counts = matcher.rule_counts()
    rules = [name for name in counts if not name.startswith("counts_")]
    return Count(
        fed,
        len(days),
        dict(hits),
        {name: counts[name].starts - was[name].starts for name in rules},
        {name: counts[name].matches - was[name].matches for name in rules},
        alerts,
        fitting,
        {},
    )


def _feed(matcher: Matcher, wire: Wire) -> list[Alert]:
    event = matcher.decoder.convert(wire)
    return [] if event is None else matcher.feed(event)


if __name__ == "__main__":
    for recording in RECORDINGS:
        wires = events_of(recording)
        c = count(wires)
        print(recording.name, c.events, c.device_days, c.signals, {k: v for k, v in c.firsts.items() if v}, {k: v for k, v in c.matches.items() if v}, c.alerts)
        past, wires = with_history(wires, wires); c = count(wires, past)
        print("   warm", c.signals, {k: v for k, v in c.firsts.items() if v}, {k: v for k, v in c.matches.items() if v}, c.alerts)
