"""The parts of rows of Suricata's EVE log that are read, under their own names."""

from typing import Any

import msgspec


class Flow(msgspec.Struct):
    """Counters of a flow."""

    start: str | None = None
    end: str | None = None
    bytes_toserver: int | None = None
    bytes_toclient: int | None = None
    state: str | None = None


class Query(msgspec.Struct):
    """A question, as version 3 of DNS logging writes it."""

    rrname: str | None = None
    rrtype: str | None = None


class Answer(msgspec.Struct):
    """A record of an answer. `rdata` is a text for addresses and names, an object for others."""

    rdata: Any = None


class Dns(msgspec.Struct):
    """A DNS message."""

    type: str | None = None
    id: int | None = None
    rrname: str | None = None
    rrtype: str | None = None
    rcode: str | None = None
    queries: list[Query] = []
    answers: list[Answer] = []


class Ja3(msgspec.Struct):
    """A fingerprint."""

    hash: str | None = None


class Tls(msgspec.Struct):
    """A TLS handshake."""

    sni: str | None = None
    version: str | None = None
    issuerdn: str | None = None
    server_alpns: list[str] = []
    ja3: Ja3 | None = None
    ja4: str | None = None


class Anomaly(msgspec.Struct):
    """A violation of a protocol."""

    type: str | None = None
    event: str | None = None
    app_proto: str | None = None


class Alert(msgspec.Struct):
    """A signature that fitted."""

    signature: str | None = None
    signature_id: int | None = None
    severity: int | None = None


class Ether(msgspec.Struct):
    """Hardware addresses, where Suricata is set to log them."""

    src_mac: str | None = None


class Row(msgspec.Struct):
    """The fields that are read. Those of one event type are decoded only when the row is of it."""

    event_type: str | None = None
    timestamp: str | None = None
    flow_id: int | None = None
    src_ip: str | None = None
    dest_ip: str | None = None
    src_port: int | None = None
    dest_port: int | None = None
    proto: str | None = None
    app_proto: str | None = None
    ether: Ether | None = None
    flow: msgspec.Raw = msgspec.Raw()
    dns: msgspec.Raw = msgspec.Raw()
    tls: msgspec.Raw = msgspec.Raw()
    anomaly: msgspec.Raw = msgspec.Raw()
    alert: msgspec.Raw = msgspec.Raw()
