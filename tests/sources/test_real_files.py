"""Real telemetry that lies beside the project: every row is read, and the counts are known."""

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import pytest

import dsl
from engine.events import EventDecoder
from engine.sources import Record, Refusal, read
from engine.sources.times import zone

RealFile = Callable[[str], Path]
EVENTS = dsl.load([Path(__file__).resolve().parents[2] / "rules" / "mobile"]).events
PACK = EventDecoder(EVENTS, {kind: frozenset(event.fields) for kind, event in EVENTS.items()})
"""Reads every field that the pack declares, so that one of a wrong type shows."""


@pytest.mark.parametrize(
    ("relative", "rows", "services"),
    [
        (
            "zeek/ctu_botnet230_njrat_labeled/conn.log.labeled",
            992,
            {"unknown": 569, "dns": 356, "http": 60, "ssl": 7},
        ),
        ("zeek/slips_test10_mixed_tsv/conn.log", 141, {"unknown": 65, "dns": 63, "ssl": 13}),
        ("zeek/slips_test9_mixed_json/conn.log", 576, None),
    ],
)
def test_connection_logs(
    read_bytes: Callable,
    real_file: RealFile,
    relative: str,
    rows: int,
    services: dict[str, int] | None,
) -> None:
    records, refusals = read_bytes(real_file(relative).read_bytes(), "conn.log")
    assert refusals == []
    assert len(records) == rows
    assert len({record.event["id"] for record in records}) == rows
    if services is not None:
        assert Counter(record.event["service"] for record in records) == services


@pytest.mark.parametrize(
    ("relative", "events", "refused"),
    [
        ("zeek/slips_test10_mixed_tsv/dns.log", {"net.dns": 85}, {"missing_field": 8}),
        ("zeek/slips_test10_mixed_tsv/ssl.log", {"net.tls": 13}, {}),
        ("zeek/slips_test9_mixed_json/dns.log", {"net.dns": 239}, {}),
        ("zeek/slips_test9_mixed_json/ssl.log", {"net.tls": 205}, {}),
        (
            "suricata/slips_test6_malicious_eve.json.gz",
            {"net.flow": 3512, "mtd.threat": 745, "net.dns": 680, "net.anomaly": 3, "net.tls": 1},
            {"unsupported_row": 59},
        ),
        ("android/rat_packets/droidjack_packets.csv", {"net.flow": 1500}, {}),
        ("android/rat_packets/spymax_packets.csv", {"net.flow": 1500}, {}),
        ("android/tombstone_00.txt", {"app.exit": 1}, {}),
        ("android/tombstone_01.txt", {"app.exit": 1}, {}),
        (
            "ios/app_privacy_report/plaso_ios15_app_privacy_report.ndjson",
            {"app.access": 8, "net.flow": 93},
            {},
        ),
        ("ios/netusage/mvt_ios_DataUsage.sqlite", {"net.flow": 59}, {}),
        ("ios/netusage/plaso_ios_netusage.sqlite", {"net.flow": 847}, {}),
        (
            "ios/powerlog/powerlog_part1_before_2021-11-02T1200.ndjson",
            {"app.lifecycle": 129, "net.flow": 119},
            {"unsupported_row": 989},
        ),
        ("ios/tcc/mvt_ios_TCC.db", {"permission.change": 11}, {}),
        # It tells of containers only, which come with the first start of a device.
        ("ios/lifecycle/plaso_ios_mobileinstallation_sysdiag.log", {}, {"unsupported_row": 1}),
        # What is no telemetry.
        ("attack/AN1756_v19.1.stix.json", {}, {"unknown_format": 1}),
        ("attack/mobile_attack_v18.1_detection_map.json", {}, {"unknown_format": 1}),
        ("ioc/triangulation_domains.txt", {}, {"unknown_format": 1}),
        ("ioc/triangulation_processes.txt", {}, {"unknown_format": 1}),
    ],
)
def test_every_row_is_an_event_or_a_refusal(
    real_file: RealFile, relative: str, events: dict[str, int], refused: dict[str, int]
) -> None:
    path = real_file(relative)
    device = None if relative.split("/")[0] in ("zeek", "suricata") or "packets" in relative else "d1"
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        answers = list(read(cast(BinaryIO, stream), path.name, device=device, zone=zone("Europe/Lisbon")))
    records = [answer for answer in answers if isinstance(answer, Record)]
    assert Counter(record.event["kind"] for record in records) == events
    assert Counter(answer.reason for answer in answers if isinstance(answer, Refusal)) == refused
    decoded = [PACK.decode(msgspec.json.encode(record.event)) for record in records]
    assert all(
        event is None or event.kind == record.event["kind"]
        for event, record in zip(decoded, records, strict=True)
    )


def test_the_watch_lists_load(real_file: RealFile, tmp_path: Path) -> None:
    rules = "".join(
        f'LIST {name} FROM "{real_file(f"ioc/triangulation_{name}.txt")}"\n'
        for name in ("domains", "processes")
    )
    (tmp_path / "lists.rule").write_text(rules)
    loaded = dsl.load([tmp_path])
    assert not loaded.errors
    assert (len(loaded.lists["domains"].items), len(loaded.lists["processes"].items)) == (75, 1)


def test_real_usage_of_the_network(read_bytes: Callable, real_file: RealFile) -> None:
    data = real_file("ios/netusage/plaso_ios_netusage.sqlite").read_bytes()
    records, _ = read_bytes(data, "db", device="d1")
    intervals = [record.event for record in records if record.event["quality"] == "interval"]
    configd = next(event for event in intervals if event.get("process") == "configd")
    assert (configd["start"], configd["time"]) == (1610911417411, 1613782834939)
    assert (configd["bytes_out"], configd["bytes_in"]) == (34112 + 10325, 2246216 + 111942)
    assert len({record.event["id"] for record in records}) == len(records)


def test_real_tombstones(read_bytes: Callable, real_file: RealFile) -> None:
    found = []
    for name in ("00", "01"):
        (record,), _ = read_bytes(real_file(f"android/tombstone_{name}.txt").read_bytes(), device="d1")
        found.append((record.event["class"], record.event["process"], record.event["time"]))
    assert found == [
        ("abort", "/system/bin/adbd", 1632930229000),
        ("memory_violation", "/vendor/bin/tzts_daemon", 1692674939000),
    ]


def test_packets_of_a_rat_have_two_directions(read_bytes: Callable, real_file: RealFile) -> None:
    data = real_file("android/rat_packets/spymax_packets.csv").read_bytes()
    records, _ = read_bytes(data)
    assert {record.event["device"] for record in records} == {"10.8.0.93"}
    assert {"bytes_out" in record.event for record in records} == {True, False}


@pytest.mark.parametrize(
    ("relative", "time", "exit_class", "process"),
    [
        ("ios/crash/ios14_itunescloudd_abort_bugtype109.ips", 1634850893074, "abort", "itunescloudd"),
        ("ios/crash/ios16_forcereset_panic_bugtype151.ips", 1671882180470, "user_reset", None),
        ("ios/crash/macos12_sleep_bugtype309_json_layout.ips", 1641474562619, "memory_violation", "sleep"),
    ],
)
def test_diagnostic_reports(
    read_bytes: Callable, real_file: RealFile, relative: str, time: int, exit_class: str, process: str | None
) -> None:
    records, refusals = read_bytes(real_file(relative).read_bytes(), "a.ips")
    assert refusals == []
    (event,) = (record.event for record in records)
    assert (event["time"], event["class"], event.get("process")) == (time, exit_class, process)
