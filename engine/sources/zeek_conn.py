"""Zeek's conn.log -> net.flow. The reason why `time` is the start stands in
docs/reference/sources/zeek.md."""

from typing import Any

from engine.sources import zeek_rows as rows
from engine.sources.addresses import address, mac

SOURCE = "zeek.conn"

MAPPING = {
    "ts": "time",  # start of the connection; seconds, with a fraction -> milliseconds
    "uid": "id",
    "id.orig_h": "device",  # unless the caller knows the device; and client_ip
    "orig_l2_addr": "client_mac",
    "id.resp_h": "ip",
    "id.resp_p": "port",  # not for ICMP, where Zeek keeps the ICMP code in this field
    "proto": "transport",
    "service": "service",  # unset -> "unknown"
    "duration": "duration_ms",  # seconds -> milliseconds
    "orig_bytes": "bytes_out",
    "resp_bytes": "bytes_in",
    "conn_state": "state",
}
"""Zeek field -> canonical. `internal` comes from id.resp_h, `attribution` says how `device` is known."""

REQUIRED = ("ts", "id.orig_h", "id.resp_h", "proto", "conn_state")
"""No row of a connection log lacks these."""


def event(row: dict[str, Any], device: str | None) -> dict[str, Any]:
    """The event of a row. Raises Refused "wrong_type", "bad_time"."""
    destination, internal = address(row["id.resp_h"], "id.resp_h")
    transport = rows.text(row, "proto")
    found = rows.envelope(row, SOURCE, "net.flow", device)
    found |= {
        "ip": destination,
        "transport": transport,
        "service": rows.text(row, "service") or "unknown",
        "state": rows.text(row, "conn_state"),
    }
    uid = rows.text(row, "uid")
    if uid is not None:
        found["id"] = uid
    if internal is not None:
        found["internal"] = internal
    hardware = mac(row.get("orig_l2_addr"))
    if hardware is not None:
        found["client_mac"] = hardware
    port = rows.count(row, "id.resp_p", 65_535)
    if port is not None and transport != "icmp":
        found["port"] = port
    for name in ("orig_bytes", "resp_bytes"):
        number = rows.count(row, name, rows.MAX_COUNT)
        if number is not None:
            found[MAPPING[name]] = number
    duration = row.get("duration")
    if duration is not None:
        found["duration_ms"] = rows.length(duration)
    return found


LOG = rows.Log(SOURCE, "conn", frozenset(MAPPING), frozenset({"conn_state"}), REQUIRED, event)
