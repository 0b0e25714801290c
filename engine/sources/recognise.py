"""The source that one line is from, by its content."""

from collections.abc import Callable
from typing import Any

import msgspec

from engine.sources import (
    app_privacy,
    csv_rows,
    eve,
    ips,
    mdm,
    mobile_installation,
    mtd,
    mvt,
    ndjson,
    powerlog,
    tombstone,
    wireshark,
    zeek,
)

ZEEK_DIRECTIVES = (b"#separator", b"#set_separator", b"#unset_field", b"#empty_field", b"#fields", b"#path")

ParseLine = Callable[[bytes, str | None], list[dict[str, Any]]]

LINE_PARSERS: dict[str, ParseLine] = {
    ndjson.SOURCE: lambda line, _: ndjson.parse(line),
    zeek.SOURCE: zeek.parse,
    eve.SOURCE: eve.parse,
    app_privacy.SOURCE: lambda line, device: app_privacy.parse(line, device or ""),
    mdm.SOURCE: mdm.parse,
    mtd.SOURCE: mtd.parse,
    mvt.SOURCE: lambda line, device: mvt.parse(line, device or ""),
}
"""Formats of which each JSON line stands for itself, so that it may also come inside something else."""


class Hint(msgspec.Struct):
    """The fields that tell formats apart. Raw: whether they are there matters, not what they are."""

    kind: msgspec.Raw = msgspec.Raw()
    device: msgspec.Raw = msgspec.Raw()
    time: msgspec.Raw = msgspec.Raw()
    bug_type: msgspec.Raw = msgspec.Raw()
    incident_id: msgspec.Raw = msgspec.Raw()
    timestamp: msgspec.Raw = msgspec.Raw()
    os_version: msgspec.Raw = msgspec.Raw()
    ts: msgspec.Raw = msgspec.Raw()
    originator: msgspec.Raw = msgspec.field(name="id.orig_h", default=msgspec.Raw())
    event_type: msgspec.Raw = msgspec.Raw()
    flow_id: msgspec.Raw = msgspec.Raw()
    src_ip: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()
    stream: msgspec.Raw = msgspec.Raw()
    table: msgspec.Raw = msgspec.Raw()
    module: msgspec.Raw = msgspec.Raw()
    event: msgspec.Raw = msgspec.Raw()


_HINT = msgspec.json.Decoder(Hint)


def recognise(line: bytes, first: bool) -> str | None:
    """The source that a line without surrounding blanks is from; `first`: it is the first of the file."""
    if line.startswith(b"{"):
        return _json(line, first)
    if line.startswith(ZEEK_DIRECTIVES):
        return zeek.SOURCE
    if line.startswith(tombstone.MARK):
        return tombstone.SOURCE
    if mobile_installation.looks_like(line):
        return mobile_installation.SOURCE
    if first and line.count(b",") >= 3:
        columns = set(csv_rows.header(line))
        if columns.issuperset(mvt.COLUMNS):
            return mvt.SOURCE
        if columns.issuperset(wireshark.COLUMNS):
            return wireshark.SOURCE
    return None


def _json(line: bytes, first: bool) -> str | None:
    try:
        hint = _HINT.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    kind = bytes(hint.type)
    if hint.bug_type and (hint.incident_id or hint.timestamp or hint.os_version):
        return ips.SOURCE if first else None
    if hint.originator and hint.ts:
        return zeek.SOURCE
    if hint.event_type and hint.timestamp and (hint.flow_id or hint.src_ip):
        return eve.SOURCE
    if hint.kind and (hint.device or hint.time):
        return ndjson.SOURCE
    if kind == b'"%b"' % mdm.TYPE.encode():
        return mdm.SOURCE
    if kind == b'"%b"' % mtd.TYPE.encode():
        return mtd.SOURCE
    if hint.stream or kind in (b'"access"', b'"networkActivity"'):
        return app_privacy.SOURCE
    if bytes(hint.table).startswith(b'"PL'):
        return powerlog.SOURCE
    if hint.module and hint.event and hint.timestamp:
        return mvt.SOURCE
    if hint.kind:
        return ndjson.SOURCE
    return None
