"""Zeek's connection log in both its forms."""

import ipaddress
import json
from collections.abc import Callable
from typing import Any

import pytest

from engine.sources import Refused, zeek

COLUMNS = {
    "ts": "1601998398.945854",
    "uid": "CAbc1",
    "id.orig_h": "192.0.2.7",
    "id.orig_p": "50123",
    "id.resp_h": "198.51.100.9",
    "id.resp_p": "443",
    "proto": "tcp",
    "service": "ssl",
    "duration": "1.500999",
    "orig_bytes": "4096",
    "resp_bytes": "812",
    "conn_state": "SF",
    "local_orig": "T",
    "missed_bytes": "0",
    "history": "ShADad",
    "tunnel_parents": "(empty)",
}
FIELDS = list(COLUMNS)
ROW = list(COLUMNS.values())
EVENT = {
    "kind": "net.flow",
    "device": "192.0.2.7",
    "time": 1601998398945,
    "source": "zeek.conn",
    "quality": "exact",
    "attribution": "ip",
    "ip": "198.51.100.9",
    "port": 443,
    "transport": "tcp",
    "service": "ssl",
    "state": "SF",
    "id": "CAbc1",
    "internal": False,
    "bytes_out": 4096,
    "bytes_in": 812,
    "duration_ms": 1500,
    "client_ip": "192.0.2.7",
}
HEADER = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"


def log(*rows: list[str], header: str = HEADER, fields: list[str] = FIELDS) -> bytes:
    table = ["#fields\t" + "\t".join(fields), *("\t".join(row) for row in rows)]
    return (header + "\n".join(table) + "\n#close\t2020-10-06-17-33-29\n").encode()


def row(**changes: str) -> list[str]:
    return [changes.get(name.replace(".", "_"), value) for name, value in zip(FIELDS, ROW, strict=True)]


def json_row(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "ts": 1601998398.945854,
        "uid": "CAbc1",
        "id.orig_h": "192.0.2.7",
        "id.orig_p": 50123,
        "id.resp_h": "198.51.100.9",
        "id.resp_p": 443,
        "proto": "tcp",
        "service": "ssl",
        "duration": 1.500999,
        "orig_bytes": 4096,
        "resp_bytes": 812,
        "conn_state": "SF",
    }
    values |= {name.replace("id_", "id."): value for name, value in changes.items()}
    return json.dumps(values).encode()


def test_both_forms_give_the_same_event(read_bytes: Callable) -> None:
    records, refusals = read_bytes(log(ROW), "conn.log")
    assert refusals == []
    assert records[0].event == EVENT | {"raw_ref": "conn.log:7"}
    assert records[0].origin == "conn.log:7"
    assert zeek.parse(json_row()) == [EVENT]


def test_what_zeek_does_not_know_is_absent_and_an_unset_service_is_unknown() -> None:
    header = zeek.parse_header([b"#fields\t" + "\t".join(FIELDS).encode()])
    unset = row(service="-", duration="-", orig_bytes="-", resp_bytes="-", conn_state="S0", uid="-")
    expected = {name: value for name, value in EVENT.items() if name not in
                ("duration_ms", "bytes_out", "bytes_in", "id")}  # fmt: skip
    expected |= {"service": "unknown", "state": "S0"}
    assert zeek.parse_tsv("\t".join(unset).encode(), header) == [expected]
    line = json_row(service=None, duration=None, orig_bytes=None, resp_bytes=None, uid="", conn_state="S0")
    assert zeek.parse(line) == [expected]


def test_a_device_from_outside_replaces_the_address_and_says_so() -> None:
    event = zeek.parse(json_row(), "phone-1")[0]
    assert (event["device"], event["attribution"]) == ("phone-1", "device")


def test_an_icmp_code_is_no_port() -> None:
    assert "port" not in zeek.parse(json_row(proto="icmp"))[0]


def test_other_separators_and_other_marks_for_nothing(read_bytes: Callable) -> None:
    values = ";".join(row(service="nil", duration="none"))
    header = "#separator \\x3b\n#set_separator;,\n#empty_field;none\n#unset_field;nil\n"
    records, refusals = read_bytes(f"{header}#fields;{';'.join(FIELDS)}\n{values}\n".encode())
    assert refusals == []
    assert records[0].event["service"] == "unknown"
    assert "duration_ms" not in records[0].event


def test_a_header_in_the_middle_holds_from_there_on(read_bytes: Callable) -> None:
    reordered = [*FIELDS[1:], FIELDS[0]]
    data = log(ROW) + log([*ROW[1:], ROW[0]], fields=reordered)
    records, refusals = read_bytes(data, "conn.log")
    assert refusals == []
    first, second = (record.event | {"raw_ref": ""} for record in records)
    assert first == second


def test_an_indented_first_line_as_in_a_real_file(read_bytes: Callable) -> None:
    data = log(ROW).replace(b"\t", b";").replace(b"\\x09", b"\\x3b")
    records, refusals = read_bytes(b"\t" + data)
    assert (len(records), refusals) == (1, [])


@pytest.mark.parametrize(
    ("names", "values"),
    [
        ("tunnel_parents   label   detailed-label", "(empty)   Malicious   C&C"),
        ("tunnel_parents   label   detailed-label", "(empty)\tMalicious\tC&C"),
        ("tunnel_parents\tlabel\tdetailed-label", "(empty)   Malicious   C&C"),
        ("tunnel_parents\tlabel\tdetailed-label", "(empty)\tMalicious\tC&C"),
    ],
)
def test_label_columns_glued_with_spaces(read_bytes: Callable, names: str, values: str) -> None:
    data = log([*ROW[:-1], values], fields=[*FIELDS[:-1], names])
    records, refusals = read_bytes(data)
    assert refusals == []
    assert records[0].event["bytes_out"] == 4096


def test_escaped_bytes_become_what_they_were(read_bytes: Callable) -> None:
    records, _ = read_bytes(log(row(service="caf\\xc3\\xa9")))
    assert records[0].event["service"] == "café"
    _, refusals = read_bytes(log(row(service="\\xff")))
    assert [refusal.reason for refusal in refusals] == ["not_utf8"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ts": "-"}, "missing_field"),
        ({"ts": "soon"}, "wrong_type"),
        ({"ts": "-5.0"}, "bad_time"),
        ({"ts": "1e30"}, "bad_time"),
        ({"id_orig_h": "-"}, "missing_field"),
        ({"id_orig_h": "phone"}, "wrong_type"),
        ({"id_resp_h": "1.2.3"}, "wrong_type"),
        ({"id_resp_h": "fe80::1%eth0"}, "wrong_type"),
        ({"id_resp_p": "65536"}, "wrong_type"),
        ({"id_resp_p": "-1"}, "wrong_type"),
        ({"orig_bytes": "12.5"}, "wrong_type"),
        ({"orig_bytes": str(2**63)}, "wrong_type"),
        ({"resp_bytes": "9" * 5000}, "wrong_type"),
        ({"duration": "-1"}, "wrong_type"),
        ({"conn_state": "-"}, "missing_field"),
        ({"tunnel_parents": "a\tb"}, "wrong_column_count"),
    ],
)
def test_a_bad_cell_costs_its_row(read_bytes: Callable, changes: dict[str, str], reason: str) -> None:
    records, refusals = read_bytes(log(ROW, row(**changes), ROW), "conn.log")
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("conn.log:8", reason)]
    assert len(records) == 2


def test_a_row_cut_at_the_end_of_the_file_is_refused(read_bytes: Callable) -> None:
    data = log(ROW, ROW).partition(b"#close")[0]
    records, refusals = read_bytes(data[:-40])
    assert (len(records), [refusal.reason for refusal in refusals]) == (1, ["wrong_column_count"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ts": None}, "missing_field"),
        ({"ts": True}, "wrong_type"),
        ({"ts": [1]}, "wrong_type"),
        ({"ts": "yesterday"}, "bad_time"),
        ({"id_resp_p": "443"}, "wrong_type"),
        ({"id_resp_p": True}, "wrong_type"),
        ({"id_resp_h": 3232235777}, "wrong_type"),
        ({"orig_bytes": 1.0}, "wrong_type"),
        ({"orig_bytes": 10**4000}, "wrong_type"),
        ({"service": 5}, "wrong_type"),
        ({"service": 5.5}, "wrong_type"),
        ({"duration": "1.5"}, "wrong_type"),
        ({"duration": {"a": 1}}, "wrong_type"),
        ({"proto": None}, "missing_field"),
    ],
)
def test_a_bad_value_in_json_costs_its_line(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        zeek.parse(json_row(**changes))
    assert refused.value.reason == reason
    assert len(refused.value.detail) < 250


def test_a_container_is_not_written_out_in_a_refusal() -> None:
    with pytest.raises(Refused, match="'a dict'"):
        zeek.parse(json_row(service={"secret": "x" * 1000}))


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        ("1601998398.945854", 1601998398945),
        ("1601998398", 1601998398000),
        ("1601998398945", 1601998398945),
        ('"2020-10-06T15:33:18.945854Z"', 1601998398945),
    ],
)
def test_the_three_ways_zeek_writes_a_time_in_json(ts: str, expected: int) -> None:
    line = json_row().replace(b"1601998398.945854", ts.encode())
    assert zeek.parse(line)[0]["time"] == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("172.16.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.0", False),
        ("192.168.1.1", True),
        ("192.169.0.1", False),
        ("169.254.9.9", True),
        ("127.0.0.1", True),
        ("100.64.0.1", False),
        ("8.8.8.8", False),
        ("224.0.0.251", None),
        ("239.255.255.250", None),
        ("240.0.0.1", False),
        ("255.255.255.255", None),
        ("0.0.0.0", None),
        ("::1", True),
        ("::", None),
        ("fd00::1", True),
        ("fc00::1", True),
        ("fe80::1", True),
        ("febf::1", True),
        ("fec0::1", False),
        ("ff02::fb", None),
        ("2001:db8::1", False),
        ("::ffff:192.168.0.1", True),
        ("::ffff:8.8.8.8", False),
    ],
)
def test_what_is_internal(address: str, expected: bool | None) -> None:
    assert zeek.is_internal(ipaddress.ip_address(address)) is expected
    event = zeek.parse(json_row(id_resp_h=address))[0]
    assert event.get("internal") is expected


def test_rows_of_another_log_are_refused_one_by_one(read_bytes: Callable) -> None:
    data = (
        b"#separator \\x09\n#path\thttp\n#fields\tts\tid.orig_h\tid.resp_h\tmethod\n" + b"1\t2\t3\tGET\n" * 3
    )
    records, refusals = read_bytes(data)
    assert records == []
    assert [refusal.reason for refusal in refusals] == ["missing_field"] * 3


def test_rows_without_a_header_are_refused(read_bytes: Callable) -> None:
    records, refusals = read_bytes("\t".join(ROW).encode(), source="zeek")
    assert (records, [refusal.reason for refusal in refusals]) == ([], ["missing_field"])


DNS = {
    "ts": 1601998398.945854,
    "uid": "CAbc1",
    "id.orig_h": "192.0.2.7",
    "id.resp_h": "192.0.2.1",
    "proto": "udp",
    "trans_id": 9,
    "query": "WWW.Example.co.uk.",
    "qtype_name": "A",
    "rcode_name": "NOERROR",
    "answers": ["a.example.net", "198.51.100.9"],
}
DNS_EVENT = {
    "kind": "net.dns",
    "device": "192.0.2.7",
    "time": 1601998398945,
    "source": "zeek.dns",
    "quality": "exact",
    "attribution": "ip",
    "client_ip": "192.0.2.7",
    "host": "www.example.co.uk",
    "domain": "example.co.uk",
    "id": "CAbc1:1601998398.945854:9",
    "query_type": "A",
    "response_code": "NOERROR",
    "answers": ["a.example.net", "198.51.100.9"],
}
TLS = {
    "ts": 1601998398.945854,
    "uid": "CAbc1",
    "id.orig_h": "192.0.2.7",
    "id.resp_h": "198.51.100.9",
    "id.resp_p": 443,
    "version": "TLSv12",
    "cipher": "TLS_X",
    "server_name": "files.example.com",
    "next_protocol": "h2",
    "established": True,
    "validation_status": "ok",
    "issuer": "CN=CA,O=Acme\\, Inc.",
    "ja3": "aa",
    "ja4": "t13d",
}
TLS_EVENT = {
    "kind": "net.tls",
    "device": "192.0.2.7",
    "time": 1601998398945,
    "source": "zeek.ssl",
    "quality": "exact",
    "attribution": "ip",
    "client_ip": "192.0.2.7",
    "ip": "198.51.100.9",
    "host": "files.example.com",
    "domain": "example.com",
    "id": "CAbc1:tls",
    "port": 443,
    "version": "TLS 1.2",
    "cipher": "TLS_X",
    "next_protocol": "h2",
    "established": True,
    "validation": "ok",
    "issuer": "CN=CA,O=Acme\\, Inc.",
    "ja3": "aa",
    "ja4": "t13d",
}


def table(path: str, row: dict[str, Any]) -> bytes:
    """The tab-separated form of a JSON row."""
    cells = {
        name: "T" if value is True else ",".join(value) if isinstance(value, list) else str(value)
        for name, value in row.items()
    }
    head = HEADER.replace("conn", path) + "#fields\t" + "\t".join(cells) + "\n"
    return (head + "\t".join(cells.values()) + "\n").encode()


@pytest.mark.parametrize(("path", "row", "event"), [("dns", DNS, DNS_EVENT), ("ssl", TLS, TLS_EVENT)])
def test_dns_and_ssl_logs_in_both_forms(
    read_bytes: Callable, path: str, row: dict[str, Any], event: dict[str, Any]
) -> None:
    assert zeek.parse(json.dumps(row).encode()) == [event]
    records, refusals = read_bytes(table(path, row), "x.log")
    assert refusals == []
    assert [record.event for record in records] == [event | {"raw_ref": "x.log:7"}]


def test_logs_of_all_three_kinds_may_stand_in_one_file(read_bytes: Callable) -> None:
    data = log(ROW) + table("dns", DNS) + table("ssl", TLS) + json_row() + b"\n" + json.dumps(DNS).encode()
    records, refusals = read_bytes(data)
    assert refusals == []
    assert [record.event["source"] for record in records] == [
        "zeek.conn", "zeek.dns", "zeek.ssl", "zeek.conn", "zeek.dns",
    ]  # fmt: skip


def test_the_path_of_a_json_row_may_be_renamed() -> None:
    renamed = json.dumps({"_path": "dns_internal"} | DNS).encode()
    assert zeek.parse(renamed) == [DNS_EVENT]


def test_a_question_without_a_name_is_refused(read_bytes: Callable) -> None:
    _, refusals = read_bytes(table("dns", DNS | {"query": "-"}))
    assert [refusal.reason for refusal in refusals] == ["missing_field"]


def test_bytes_in_an_answer_do_not_hide_the_question(read_bytes: Callable) -> None:
    (record,), refusals = read_bytes(table("dns", DNS | {"answers": ["TXT 3 \\xff", "a"]}))
    assert refusals == []
    assert record.event["answers"] == ["TXT 3 \ufffd", "a"]


def test_the_hardware_address_of_the_client() -> None:
    (event,) = zeek.parse(json_row(orig_l2_addr="08:00:07:F8:3D:02"))
    assert event["client_mac"] == "08:00:07:f8:3d:02"
    (event,) = zeek.parse(json_row(orig_l2_addr="unknown"))
    assert "client_mac" not in event


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (DNS | {"answers": "a"}, "wrong_type"),
        (DNS | {"answers": [1]}, "wrong_type"),
        (DNS | {"trans_id": -1}, "wrong_type"),
        (DNS | {"query": 5}, "wrong_type"),
        (DNS | {"id.orig_h": "x"}, "wrong_type"),
        (TLS | {"established": "T"}, "wrong_type"),
        (TLS | {"id.resp_h": None}, "missing_field"),
        (TLS | {"id.resp_p": 70_000}, "wrong_type"),
        (TLS | {"ts": "x"}, "bad_time"),
    ],
)
def test_a_bad_row_of_the_other_logs_is_refused(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        zeek.parse(json.dumps(row).encode())
    assert refused.value.reason == reason


def test_a_log_without_rows_is_no_error(read_bytes: Callable) -> None:
    assert read_bytes(log()) == ([], [])
