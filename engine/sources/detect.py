"""Finding the format of a stream by its content.

File names are not consulted: "conn.log" may be JSON, and an upload has no name.
"""

import msgspec

from engine.sources import app_privacy, ips, ndjson, powerlog, zeek
from engine.sources.lines import CHUNK_BYTES, MAX_LINE_BYTES, Input
from engine.sources.records import Refused, shown

WINDOW_BYTES = MAX_LINE_BYTES + CHUNK_BYTES
"""How far is looked: one line of the greatest length is always seen whole."""

_ZEEK_DIRECTIVES = (b"#separator", b"#set_separator", b"#unset_field", b"#empty_field", b"#fields", b"#path")


class Hint(msgspec.Struct):
    """The fields that tell formats apart. Raw: whether they are there matters, not what they are."""

    kind: msgspec.Raw = msgspec.Raw()
    device: msgspec.Raw = msgspec.Raw()
    time: msgspec.Raw = msgspec.Raw()
    bug_type: msgspec.Raw = msgspec.Raw()
    incident_id: msgspec.Raw = msgspec.Raw()
    timestamp: msgspec.Raw = msgspec.Raw()
    os_version: msgspec.Raw = msgspec.Raw()
    originator: msgspec.Raw = msgspec.field(name="id.orig_h", default=msgspec.Raw())
    conn_state: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()
    stream: msgspec.Raw = msgspec.Raw()
    table: msgspec.Raw = msgspec.Raw()


_HINT = msgspec.json.Decoder(Hint)


def detect(source: Input) -> str:
    """The name of the source: that of the first line that shows one.

    No more is read than is needed to decide, and what was read is kept for `Input.chunks`.
    Raises Refused "unknown_format", "empty_file", or the failure of the stream.
    """
    window = bytearray()
    start = 0
    first = True
    while True:
        chunk = source.look()
        # A last line may lack its line end; a blank line more is no harm.
        window += chunk or b"\n"
        while (end := window.find(b"\n", max(start, len(window) - len(chunk) - 1))) >= 0:
            line = bytes(window[start:end]).strip()
            start = end + 1
            if line:
                found = recognise(line, first)
                if found is not None:
                    return found
                first = False
        if not chunk or len(window) > WINDOW_BYTES:
            break
    if source.failure is not None:
        raise source.failure
    raise _unknown(bytes(window[:CHUNK_BYTES]).strip())


def recognise(line: bytes, first: bool) -> str | None:
    """The source that a line without surrounding blanks is from; `first`: it is the first of the file."""
    if line.startswith(_ZEEK_DIRECTIVES):
        return zeek.SOURCE
    if not line.startswith(b"{"):
        return None
    try:
        hint = _HINT.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if hint.bug_type and (hint.incident_id or hint.timestamp or hint.os_version):
        return ips.SOURCE if first else None
    if hint.originator and hint.conn_state:
        return zeek.SOURCE
    if hint.kind and (hint.device or hint.time):
        return ndjson.SOURCE
    if hint.stream or bytes(hint.type) in (b'"access"', b'"networkActivity"'):
        return app_privacy.SOURCE
    if bytes(hint.table).startswith(b'"PL'):
        return powerlog.SOURCE
    if hint.kind:
        return ndjson.SOURCE
    return None


def _unknown(start: bytes) -> Refused:
    if not start:
        return Refused("empty_file", "The file contains nothing.")
    if start.startswith(b"\x1f\x8b"):
        return Refused("unknown_format", "The file is compressed with gzip; decompress it first.")
    return Refused(
        "unknown_format",
        f"No known format begins with '{shown(start, 40)}'; if you know what it is, name the source.",
    )
