"""Zeek's ssl.log -> net.tls: one handshake a row. ja3 and ja4 are there where their plugins are."""

from typing import Any

from engine.sources import zeek_rows as rows
from engine.sources.addresses import address
from engine.sources.hosts import host_fields
from engine.sources.tls_version import tls_version

SOURCE = "zeek.ssl"

MAPPING = {
    "ts": "time",
    "uid": "id",  # with ":tls": the connection has the bare uid
    "id.orig_h": "device",  # unless the caller knows the device; and client_ip
    "id.resp_h": "ip",
    "id.resp_p": "port",
    "server_name": "host",  # lower case; and domain, its registered part
    "version": "version",  # TLSv12 -> "TLS 1.2"
    "cipher": "cipher",
    "next_protocol": "next_protocol",
    "established": "established",
    "validation_status": "validation",
    "issuer": "issuer",
    "ja3": "ja3",
    "ja4": "ja4",
}

REQUIRED = ("ts", "id.orig_h", "id.resp_h")


def event(row: dict[str, Any], device: str | None) -> dict[str, Any]:
    """The event of a row. Raises Refused "wrong_type", "bad_time"."""
    found = rows.envelope(row, SOURCE, "net.tls", device)
    found["ip"] = address(row["id.resp_h"], "id.resp_h")[0]
    found |= host_fields(rows.text(row, "server_name"))
    uid = rows.text(row, "uid")
    if uid is not None:
        found["id"] = f"{uid}:tls"
    port = rows.count(row, "id.resp_p", 65_535)
    if port is not None:
        found["port"] = port
    version = tls_version(rows.text(row, "version"))
    if version is not None:
        found["version"] = version
    for name in ("cipher", "next_protocol", "validation_status", "issuer", "ja3", "ja4"):
        value = rows.text(row, name)
        if value is not None:
            found[MAPPING[name]] = value
    established = rows.truth(row, "established")
    if established is not None:
        found["established"] = established
    return found


LOG = rows.Log(
    SOURCE,
    "ssl",
    frozenset(MAPPING),
    frozenset({"established", "cipher", "server_name", "cert_chain_fuids", "cert_chain_fps"}),
    REQUIRED,
    event,
)
