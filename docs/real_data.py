"""Recordings of real devices through the shipped rules, counted: what make_real_data_report.py writes about.

The recordings lie in `../shared/data` and are no part of the project. Counts and names of rules come out of
here: nothing of what the recordings say of people.
"""

import gzip
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
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
RULES = ROOT / "rules" / "mobile"
DAY_MS = 86_400_000
HISTORY_DAYS = 5
"""More than the 3 days that a novelty baseline needs."""

Wire = dict[str, Any]


class Recording(msgspec.Struct, frozen=True):
    """Files that were recorded together. ``device``: for formats that name none."""

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
        "power log, iPadOS 15",
        "benign",
        ("ios/powerlog/powerlog_part1_before_2021-11-02T1200.ndjson",),
        "tablet",
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

    ``signals``: events that fit, by signal; ``fitting``: their ids. ``firsts``, ``matches``: by rule, the
    runs that began and what completed. ``alerts``: by rule, with their devices.
    """

    events: int
    device_days: int
    signals: dict[str, int]
    firsts: dict[str, int]
    matches: dict[str, int]
    alerts: dict[str, set[str]]
    fitting: dict[str, set[str]]


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


def with_history(
    wires: list[Wire], usual: list[Wire], times_over: int = HISTORY_DAYS
) -> tuple[list[Wire], list[Wire]]:
    """The usual events so many times over as a history, and behind them the events themselves.

    Each turn is on a day of its own, or on as many as it lasts. All move forward: a capture whose clock
    began at zero has no time before it.
    """
    span = (int(wires[-1]["time"]) - int(wires[0]["time"])) // DAY_MS + 1
    past = [w for turn in range(times_over) for w in moved(usual, turn * span * DAY_MS, mark=f"turn {turn} ")]
    return past, list(moved(wires, times_over * span * DAY_MS))


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
    for wire in wires:
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
    )


def _feed(matcher: Matcher, wire: Wire) -> list[Alert]:
    event = matcher.decoder.convert(wire)
    return [] if event is None else matcher.feed(event)


def injected() -> tuple[dict[str, set[str]], dict[str, str]]:
    """A made-up chain on some devices of a fleet that otherwise repeats what real ones did.

    Gives the alerts by rule, and the rule that each device is meant for. Two devices have half a chain.
    """
    lab = labelled()
    victim = next(w["device"] for w in events_of(NJRAT) if w["id"] in lab)
    flows = [w for w in events_of(NJRAT) if w["id"] not in lab and w["device"] == victim]
    names = [w for w in events_of(RECORDINGS[6]) if w["kind"] == "net.dns"]
    report = [w for w in events_of(RECORDINGS[0]) if w["kind"] == "net.flow"]
    start = 1_772_409_600_000
    """2026-03-02T00:00:00Z"""
    app = Counter(w["app"] for w in report).most_common(1)[0][0]
    acts = {
        "one": ("web_exploit_kit", _web(app)),
        "two": ("command_channel", _channel()),
        "three": ("an1756_internal", _internal()),
        "four": ("lateral_movement", _lateral()),
        "five": ("", _web(app)[:2]),
        "six": ("", _lateral()[:-1]),
        "seven": ("", []),
    }
    past: list[Wire] = []
    now: list[Wire] = []
    for device, (_, act) in acts.items():
        for day in range(HISTORY_DAYS + 1):
            into = past if day < HISTORY_DAYS else now
            for usual in (flows, names, report):
                begin = start + day * DAY_MS - int(usual[0]["time"])
                # Internal and sensor addresses of another network mean nothing here.
                clean = ({k: v for k, v in w.items() if k != "client_ip"} for w in usual)
                into += moved(clean, begin, device, f"{device} {day} ")
        for number, (minute, fields) in enumerate(act):
            when = start + HISTORY_DAYS * DAY_MS + 7_200_000 + minute * 60_000
            now.append(
                {"device": device, "time": when, "id": f"act {device} {number}", "source": "synthetic"}
                | fields
            )
    found = count(sorted(now, key=lambda w: int(w["time"])), past)
    return found.alerts, {device: rule for device, (rule, _) in acts.items() if rule}


def _web(app: str) -> list[tuple[int, Wire]]:
    crash = {"process": "com.apple.WebKit.WebContent", "class": "memory_violation"}
    return [
        (0, {"kind": "net.dns", "host": "cdn.rare.example", "domain": "rare.example"}),
        (1, {"kind": "app.exit", **crash}),
        (9, {"kind": "net.flow", "app": app, "host": "next.example", "domain": "next.example"}),
    ]


def _channel() -> list[tuple[int, Wire]]:
    server = {"kind": "net.flow", "ip": "203.0.113.7", "port": 1337, "transport": "tcp", "service": "unknown"}
    sent = {"internal": False, "bytes_out": 900_000, "bytes_in": 12_000}
    return [(0, server | sent | {"bytes_out": 400}), (20, server | sent)]


def _internal() -> list[tuple[int, Wire]]:
    server = {"kind": "net.flow", "ip": "10.0.0.9", "port": 8899, "transport": "tcp", "service": "unknown"}
    return [
        (0, server | {"internal": True}),
        (4, {"kind": "app.exit", "process": "imagent", "class": "guard"}),
    ]


def _lateral() -> list[tuple[int, Wire]]:
    host = {"kind": "net.flow", "port": 445, "transport": "tcp", "service": "unknown", "internal": True}
    scan = [(0, host | {"ip": f"10.0.0.{n}", "state": "S0"}) for n in range(10, 22)]
    contact = host | {"ip": "10.0.0.14", "port": 4444, "state": "SF", "bytes_out": 2_000}
    return [*scan, (8, contact), (12, {"kind": "app.exit", "process": "Files", "class": "memory_violation"})]
