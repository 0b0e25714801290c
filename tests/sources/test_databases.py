"""SQLite files from phones: what they say, and that nothing in them can run."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from samples import NETUSAGE, TCC, database

from engine.sources import Refused, netusage, tcc
from engine.sources import database as module

START = 1610911417411


def test_processes_and_their_bytes(read_bytes: Callable) -> None:
    records, refusals = read_bytes(NETUSAGE, "db", device="phone-1")
    assert refusals == []
    events = [dict(record.event) for record in records]
    ids = [event.pop("id") for event in events]
    assert len(set(ids)) == 5
    common = {"kind": "net.flow", "device": "phone-1", "source": "ios.netusage"}
    chat = common | {"attribution": "app", "app": "com.acme.chat", "process": "chat"}
    assert events == [
        chat | {"time": START, "quality": "first_last", "raw_ref": "db:ZPROCESS:1"},
        chat | {"time": START + 100_089, "quality": "first_last", "raw_ref": "db:ZPROCESS:1"},
        common
        | {"attribution": "device", "process": "configd", "time": START, "quality": "first_last"}
        | {"raw_ref": "db:ZPROCESS:2"},
        chat
        | {"start": START, "time": START + 100_089, "quality": "interval", "bytes_out": 24, "bytes_in": 103}
        | {"raw_ref": "db:ZLIVEUSAGE:1"},
        # Whose process was deleted: the bytes remain.
        common
        | {"attribution": "device", "time": START, "quality": "first_last", "bytes_in": 1}
        | {"raw_ref": "db:ZLIVEUSAGE:2"},
    ]


def test_newer_databases_lack_columns(read_bytes: Callable) -> None:
    data = database(
        "CREATE TABLE ZPROCESS (Z_PK, ZFIRSTTIMESTAMP, ZTIMESTAMP, ZPROCNAME)",
        "CREATE TABLE ZLIVEUSAGE (Z_PK, ZHASPROCESS, ZTIMESTAMP, ZWWANIN, ZWWANOUT)",
        "INSERT INTO ZPROCESS VALUES (1, NULL, 632604217, 'apsd/x')",
        "INSERT INTO ZLIVEUSAGE VALUES (1, 1, 632604200, 5, 6)",
    )
    records, refusals = read_bytes(data, device="d")
    assert refusals == []
    assert [(record.event["process"], record.event.get("bytes_out")) for record in records] == [
        ("apsd", None),
        ("apsd", 6),
    ]


def test_usage_that_began_after_the_process_was_last_seen_knows_one_moment() -> None:
    data = database(
        "CREATE TABLE ZPROCESS (Z_PK, ZFIRSTTIMESTAMP, ZTIMESTAMP, ZPROCNAME)",
        "CREATE TABLE ZLIVEUSAGE (Z_PK, ZHASPROCESS, ZTIMESTAMP, ZWIFIIN)",
        "INSERT INTO ZPROCESS VALUES (1, 5, 5, 'a')",
        "INSERT INTO ZLIVEUSAGE VALUES (1, 1, 9, 3)",
    )
    _, usage = netusage.parse(data, "d")
    assert (usage["time"], usage["quality"], "start" in usage) == (978307209000, "first_last", False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("configd", "configd"),
        ("apsd/com.apple.push", "apsd"),
        ("1FB47783-A2FE-47D9-B256-DF50EF44BBA4/com.apple.tv", "com.apple.tv"),
        ("", None),
        ("/x", None),
        (None, None),
    ],
)
def test_names_of_processes(text: str | None, expected: str | None) -> None:
    assert netusage.process_name(text) == expected


def test_permissions(read_bytes: Callable) -> None:
    records, refusals = read_bytes(TCC, "TCC.db", device="phone-1")
    assert refusals == []
    first, second = (dict(record.event) for record in records)
    assert first.pop("id") != second.pop("id")
    assert first == {
        "kind": "permission.change",
        "device": "phone-1",
        "time": 1772442000000,
        "source": "ios.tcc",
        "quality": "exact",
        "attribution": "app",
        "app": "com.acme.chat",
        "permission": "mic",
        "granted": True,
        "raw_ref": "TCC.db:access:1",
    }
    assert (second["process"], second["permission"], second["granted"]) == (
        "/usr/libexec/x",
        "contacts",
        False,
    )


def test_the_older_form_of_permissions() -> None:
    data = database(
        "CREATE TABLE access (service, client, client_type, allowed, last_modified)",
        "INSERT INTO access VALUES ('kTCCServiceCamera', 'a', 0, 1, 5), ('kTCCServiceCamera', 'b', 0, 0, 6)",
    )
    assert [(event["app"], event["granted"]) for event in tcc.parse(data, "d")] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("'s', 'c', 0, 1, 5", "unsupported_row"),
        ("'s', 'c', 0, 9, 5", "wrong_type"),
        ("'s', 'c', 0, 'x', 5", "wrong_type"),
        ("NULL, 'c', 0, 2, 5", "missing_field"),
        ("'s', x'ff', 0, 2, 5", "wrong_type"),
        ("'s', 'c', 0, 2, NULL", "missing_field"),
        ("'s', 'c', 0, 2, 'soon'", "wrong_type"),
        ("'s', 'c', 0, 2, 1e300", "bad_time"),
        ("'s', 'c', 0, 2, -5", "bad_time"),
    ],
)
def test_a_bad_row_costs_itself(read_bytes: Callable, values: str, reason: str) -> None:
    data = database(
        "CREATE TABLE access (service, client, client_type, auth_value, last_modified)",
        "INSERT INTO access VALUES ('s', 'c', 0, 2, 5)",
        f"INSERT INTO access VALUES ({values})",
        "INSERT INTO access VALUES ('s', 'd', 0, 2, 5)",
    )
    records, refusals = read_bytes(data, "db", device="d")
    assert len(records) == 2
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("db:access:2", reason)]


@pytest.mark.parametrize("values", ["'x', 5", "5, 'x'", "5, -1", "5, 1e30", "NULL, 5"])
def test_a_bad_usage_costs_itself(read_bytes: Callable, values: str) -> None:
    data = database(
        "CREATE TABLE ZPROCESS (Z_PK, ZFIRSTTIMESTAMP, ZTIMESTAMP, ZPROCNAME)",
        "CREATE TABLE ZLIVEUSAGE (Z_PK, ZHASPROCESS, ZTIMESTAMP, ZWIFIIN)",
        "INSERT INTO ZPROCESS VALUES (1, 5, 6, 'a')",
        f"INSERT INTO ZLIVEUSAGE VALUES (1, 1, {values})",
    )
    records, refusals = read_bytes(data, "db", device="d")
    assert (len(records), [refusal.origin for refusal in refusals]) == (2, ["db:ZLIVEUSAGE:1"])


def test_text_that_is_not_utf8_hides_nothing() -> None:
    data = database(
        "CREATE TABLE access (service, client, client_type, auth_value, last_modified)",
        "INSERT INTO access VALUES ('s', CAST(x'61ff62' AS TEXT), 0, 2, 5)",
    )
    assert tcc.parse(data, "d")[0]["app"] == "a\ufffdb"


def test_without_a_device_a_database_is_refused_once(read_bytes: Callable) -> None:
    for data in (NETUSAGE, TCC):
        records, refusals = read_bytes(data, "db")
        assert records == []
        assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("db", "missing_device")]


@pytest.mark.parametrize(
    ("source", "data", "reason"),
    [
        ("ios.tcc", NETUSAGE, "unsupported_row"),
        ("ios.netusage", TCC, "unsupported_row"),
        ("ios.netusage", b"SQLite format 3\0", "malformed_database"),
        ("ios.netusage", b"no database at all", "malformed_database"),
        ("ios.tcc", b"", "empty_file"),
        (
            "ios.tcc",
            database("CREATE TABLE access (service, client, client_type, auth_value)"),
            "unsupported_row",
        ),
    ],
)
def test_another_database_is_refused(read_bytes: Callable, source: str, data: bytes, reason: str) -> None:
    records, refusals = read_bytes(data, "db", source, "d")
    assert records == []
    assert [refusal.reason for refusal in refusals] == [reason]


def test_a_damaged_page_is_refused_and_no_traceback(read_bytes: Callable) -> None:
    rows = [f"INSERT INTO access VALUES ('s', 'client-{n}', 0, 2, 5)" for n in range(500)]
    data = database("CREATE TABLE access (service, client, client_type, auth_value, last_modified)", *rows)
    broken = data[:8192] + bytes(4096) + data[12288:]
    records, refusals = read_bytes(broken, "db", "ios.tcc", "d")
    assert len(records) < 500
    assert [refusal.reason for refusal in refusals] == ["malformed_database"]


def test_a_view_in_place_of_a_table_does_not_run(read_bytes: Callable) -> None:
    data = database(
        "CREATE VIEW access (service, client, client_type, auth_value, last_modified) AS"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 's', i, 0, 2, 5 FROM n",
    )
    _, refusals = read_bytes(data, "db", "ios.tcc", "d")
    assert [refusal.reason for refusal in refusals] == ["unsupported_row"]


def test_what_runs_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STEPS", 1_000_000)
    with closing(module.open_bytes(TCC)) as connection:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        with pytest.raises(Refused) as refused:
            list(module.rows(connection, endless))
    assert refused.value.reason == "malformed_database"


def test_a_database_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "TCC.db"
    path.write_bytes(TCC)
    for connection in (module.open_path(path), module.open_bytes(TCC)):
        with closing(connection):
            assert tcc.fits(module.columns(connection))
            with pytest.raises(Refused, match=r"readonly|read-only"):
                list(module.rows(connection, "DELETE FROM access"))
    assert path.read_bytes() == TCC
    with pytest.raises(Refused):
        module.open_path(tmp_path / "absent.db")


def test_a_database_with_a_write_ahead_mark_is_read() -> None:
    marked = TCC[:18] + b"\x02\x02" + TCC[20:]
    assert tcc.parse(marked, "d") == tcc.parse(TCC, "d")


def test_a_database_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch, read_bytes: Callable) -> None:
    monkeypatch.setattr(module, "MAX_DATABASE_BYTES", len(TCC) - 1)
    for source in (None, "ios.tcc"):
        _, refusals = read_bytes(TCC, "db", source, "d")
        assert [refusal.reason for refusal in refusals] == ["document_too_large"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 978307200000), (632604217.411826, START), (588611289.250545, 1566918489250), (-978307200, 0)],
)
def test_times_of_cocoa_are_exact(value: Any, expected: int) -> None:
    assert module.cocoa_time(value, "x") == expected


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e18, 10**30, -978307201])
def test_times_that_are_none(value: Any) -> None:
    with pytest.raises(Refused) as refused:
        module.cocoa_time(value, "x")
    assert refused.value.reason == "bad_time"
