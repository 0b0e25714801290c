"""Real telemetry that lies beside the project: every row is read, and the counts are known."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

RealFile = Callable[[str], Path]


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
    ("relative", "reason", "count"),
    [
        ("zeek/slips_test10_mixed_tsv/dns.log", "missing_field", 93),
        ("zeek/slips_test10_mixed_tsv/ssl.log", "missing_field", 13),
        ("zeek/slips_test9_mixed_json/dns.log", "unknown_format", 1),
        ("zeek/slips_test9_mixed_json/ssl.log", "unknown_format", 1),
        ("suricata/slips_test6_malicious_eve.json.gz", "unknown_format", 1),
        ("ios/tcc/mvt_ios_TCC.db", "unknown_format", 1),
        ("ios/netusage/plaso_ios_netusage.sqlite", "unknown_format", 1),
        ("ios/lifecycle/plaso_ios_mobileinstallation_sysdiag.log", "unknown_format", 1),
        ("android/tombstone_00.txt", "unknown_format", 1),
    ],
)
def test_files_of_other_formats_are_refused(
    read_bytes: Callable, real_file: RealFile, relative: str, reason: str, count: int
) -> None:
    records, refusals = read_bytes(real_file(relative).read_bytes(), "file", device="d1")
    assert records == []
    assert Counter(refusal.reason for refusal in refusals) == {reason: count}


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
