"""Suricata's EVE log (JSON lines) -> net.flow, net.dns, net.tls, net.anomaly, mtd.threat.

Field names and meanings: Suricata's user guide, "Eve JSON Format". Event types other than the five are
refused row by row, so that the summary says how much of the log was not used. Streams: nothing is held
between rows.
"""

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from engine.sources import times
from engine.sources.addresses import address, is_internal, mac
from engine.sources.eve_rows import Alert, Anomaly, Dns, Flow, Query, Row, Tls
from engine.sources.hosts import host_fields
from engine.sources.json_text import decode
from engine.sources.lines import Input, records
from engine.sources.records import Record, Refusal, Refused, shown
from engine.sources.tls_version import tls_version

SOURCE = "suricata.eve"

FLOW_MAPPING = {
    "flow.start": "time",
    "flow.end": "duration_ms",  # end - start
    "flow_id, flow.start": "id",
    "src_ip": "device",  # unless the caller knows the device; and client_ip
    "ether.src_mac": "client_mac",
    "dest_ip": "ip",  # and internal
    "dest_port": "port",  # not for ICMP
    "proto": "transport",  # lower case; IPv6-ICMP -> icmp
    "app_proto": "service",  # unset and "failed" -> "unknown"
    "flow.bytes_toserver": "bytes_out",  # with the headers of packets, which Zeek does not count
    "flow.bytes_toclient": "bytes_in",
    "flow.state": "state",
}

DNS_MAPPING = {
    "timestamp": "time",
    "flow_id, dns.id, dns.type, timestamp": "id",
    "dns.rrname, dns.queries": "host",
    "dns.rrtype, dns.queries": "query_type",
    "dns.rcode": "response_code",  # only in answers
    "dns.answers": "answers",  # their rdata
}

TLS_MAPPING = {
    "timestamp": "time",
    "flow_id, timestamp": "id",
    "dest_ip": "ip",
    "dest_port": "port",
    "tls.sni": "host",
    "tls.version": "version",
    "tls.issuerdn": "issuer",
    "tls.server_alpns": "next_protocol",  # the first
    "tls.ja3.hash": "ja3",
    "tls.ja4": "ja4",
}

ANOMALY_MAPPING = {
    "timestamp": "time",
    "flow_id, timestamp, anomaly.event": "id",
    "anomaly.event": "name",
    "anomaly.type": "category",
    "anomaly.app_proto, app_proto": "service",
}

ALERT_MAPPING = {
    "timestamp": "time",
    "flow_id, timestamp, alert.signature_id": "id",
    "alert.signature": "name",
    "alert.severity": "level",  # 1 high, 2 medium, 3 low, 4 info
}

LEVELS = {1: "high", 2: "medium", 3: "low", 4: "info"}
"""Suricata's severities; 1 is the gravest. Rules may use up to 255, which say no more than "least"."""


_ROW = msgspec.json.Decoder(Row)
_FLOW = msgspec.json.Decoder(Flow)
_DNS = msgspec.json.Decoder(Dns)
_TLS = msgspec.json.Decoder(Tls)
_ANOMALY = msgspec.json.Decoder(Anomaly)
_ALERT = msgspec.json.Decoder(Alert)


def parse(line: bytes, device: str | None = None) -> list[dict[str, Any]]:
    """The event of one line.

    Raises Refused: the reasons of `json_text.decode`, "missing_field", "wrong_type", "bad_time", and
    "unsupported_row" for an event type that is not read.
    """
    row = decode(line, _ROW)
    make = _MAKERS.get(row.event_type or "")
    if make is None:
        if row.event_type is None:
            raise Refused("missing_field", "The row has no event_type.")
        raise Refused("unsupported_row", f"Rows of the event type '{shown(row.event_type)}' are not read.")
    return [{name: value for name, value in make(row, device).items() if value not in (None, "", [])}]


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All rows of a log."""
    for item in records(source, name, lambda line: parse(line, device)):
        if isinstance(item, Record):
            item.event["raw_ref"] = item.origin
        yield item


def _flow(row: Row, device: str | None) -> dict[str, Any]:
    flow = decode(bytes(_needed(row.flow, "flow")), _FLOW)
    start = _needed(flow.start, "flow.start")
    time = times.from_text(start)
    end = times.from_text(flow.end) if flow.end else None
    if end is not None and end < time:
        raise Refused("bad_time", "flow.end is earlier than flow.start.")
    event = _client(row, "net.flow", device, time) | _server(row)
    for value in (flow.bytes_toserver, flow.bytes_toclient):
        if value is not None and not 0 <= value < 2**63:
            raise Refused("wrong_type", f"'{shown(value)}' is no count of bytes.")
    return event | {
        "id": _id(row, start),
        "service": "unknown" if row.app_proto in (None, "", "failed") else row.app_proto,
        "bytes_out": flow.bytes_toserver,
        "bytes_in": flow.bytes_toclient,
        "state": flow.state,
        "duration_ms": None if end is None else end - time,
    }


def _dns(row: Row, device: str | None) -> dict[str, Any]:
    dns = decode(bytes(_needed(row.dns, "dns")), _DNS)
    query = dns.queries[0] if dns.queries else Query(dns.rrname, dns.rrtype)
    host = host_fields(query.rrname)
    if not host:
        raise Refused("missing_field", "The row names no question (dns.rrname).")
    return (
        _client(row, "net.dns", device, _time(row))
        | host
        | {
            "id": _id(row, str(dns.id), dns.type or "", row.timestamp or ""),
            "query_type": query.rrtype,
            "response_code": dns.rcode,
            "answers": [answer.rdata for answer in dns.answers if isinstance(answer.rdata, str)],
        }
    )


def _tls(row: Row, device: str | None) -> dict[str, Any]:
    tls = decode(bytes(_needed(row.tls, "tls")), _TLS)
    server = _server(row)
    return (
        _client(row, "net.tls", device, _time(row))
        | host_fields(tls.sni)
        | {
            "id": _id(row, "tls", row.timestamp or ""),
            "ip": server["ip"],
            "port": server["port"],
            "version": tls_version(tls.version),
            "issuer": tls.issuerdn,
            "next_protocol": tls.server_alpns[0] if tls.server_alpns else None,
            "ja3": tls.ja3.hash if tls.ja3 else None,
            "ja4": tls.ja4,
        }
    )


def _anomaly(row: Row, device: str | None) -> dict[str, Any]:
    anomaly = decode(bytes(_needed(row.anomaly, "anomaly")), _ANOMALY)
    name = _needed(anomaly.event or anomaly.type, "anomaly.event")
    event = _inside(row, "net.anomaly", device)
    return event | {
        "id": _id(row, row.timestamp or "", name),
        "name": name,
        "category": anomaly.type,
        "service": anomaly.app_proto or row.app_proto,
    }


def _alert(row: Row, device: str | None) -> dict[str, Any]:
    alert = decode(bytes(_needed(row.alert, "alert")), _ALERT)
    name = _needed(alert.signature, "alert.signature")
    event = _inside(row, "mtd.threat", device)
    for field in ("port", "transport", "internal"):
        event.pop(field, None)
    return event | {
        "id": _id(row, row.timestamp or "", str(alert.signature_id)),
        "name": name,
        "category": "network",
        "level": None if alert.severity is None else LEVELS.get(alert.severity, "info"),
        "vendor": "Suricata",
    }


_MAKERS: dict[str, Callable[[Row, str | None], dict[str, Any]]] = {
    "flow": _flow,
    "dns": _dns,
    "tls": _tls,
    "anomaly": _anomaly,
    "alert": _alert,
}


def _client(row: Row, kind: str, device: str | None, time: int) -> dict[str, Any]:
    """What every event has; the device is the source of the flow unless the caller knows it."""
    client = address(_needed(row.src_ip, "src_ip"), "src_ip")[0]
    return {
        "kind": kind,
        "device": device or client,
        "time": time,
        "source": SOURCE,
        "quality": "exact",
        "attribution": "device" if device else "ip",
        "client_ip": client,
        "client_mac": mac(row.ether.src_mac) if row.ether else None,
    }


def _server(row: Row) -> dict[str, Any]:
    destination, internal = address(_needed(row.dest_ip, "dest_ip"), "dest_ip")
    return {"ip": destination, "internal": internal, **_port(row, row.dest_port)}


def _port(row: Row, port: int | None) -> dict[str, Any]:
    transport = (row.proto or "").lower()
    if "icmp" in transport:
        return {"transport": "icmp", "port": None}
    if port is not None and not 0 <= port <= 65_535:
        raise Refused("wrong_type", f"'{shown(port)}' is no port.")
    return {"transport": transport, "port": port}


def _inside(row: Row, kind: str, device: str | None) -> dict[str, Any]:
    """For what is reported by packet, whose source can be either side: the device is the side inside, where
    exactly one is; else the source."""
    source = address(_needed(row.src_ip, "src_ip"), "src_ip")[0]
    destination = address(_needed(row.dest_ip, "dest_ip"), "dest_ip")[0]
    if not is_internal(ipaddress.ip_address(source)) and is_internal(ipaddress.ip_address(destination)):
        row = msgspec.structs.replace(
            row,
            src_ip=destination,
            dest_ip=source,
            src_port=row.dest_port,
            dest_port=row.src_port,
            ether=None,
        )
    return _client(row, kind, device, _time(row)) | _server(row)


def _time(row: Row) -> int:
    return times.from_text(_needed(row.timestamp, "timestamp"))


def _id(row: Row, *parts: str) -> str | None:
    return None if row.flow_id is None else ":".join((str(row.flow_id), *parts))


def _needed(value: Any, name: str) -> Any:
    if not value or (isinstance(value, msgspec.Raw) and bytes(value) == b"null"):
        raise Refused("missing_field", f"The row has no {name}.")
    return value
