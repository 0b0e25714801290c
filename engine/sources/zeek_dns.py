"""Zeek's dns.log -> net.dns: one question and its answer a row."""

from typing import Any

from engine.sources import zeek_rows as rows
from engine.sources.hosts import host_fields
from engine.sources.records import Refused

SOURCE = "zeek.dns"

MAPPING = {
    "ts": "time",  # of the question
    "uid, ts, trans_id": "id",  # a connection carries many questions
    "id.orig_h": "device",  # unless the caller knows the device; and client_ip
    "query": "host",  # lower case; and domain, its registered part
    "qtype_name": "query_type",
    "rcode_name": "response_code",  # absent where no answer came
    "answers": "answers",
}

REQUIRED = ("ts", "id.orig_h")


def event(row: dict[str, Any], device: str | None) -> dict[str, Any]:
    """The event of a row. Raises Refused "wrong_type", "bad_time", and "missing_field" without a name."""
    host = host_fields(rows.text(row, "query"))
    if not host:
        # Answers that nobody asked for, as mDNS sends them, have none.
        raise Refused("missing_field", "The row names no question (query).")
    found = rows.envelope(row, SOURCE, "net.dns", device) | host
    uid = rows.text(row, "uid")
    if uid is not None:
        found["id"] = f"{uid}:{row['ts']}:{rows.count(row, 'trans_id', rows.MAX_COUNT) or 0}"
    for name in ("qtype_name", "rcode_name"):
        value = rows.text(row, name)
        if value is not None:
            found[MAPPING[name]] = value
    answers = rows.texts(row, "answers")
    if answers is not None:
        found["answers"] = answers
    return found


LOG = rows.Log(
    SOURCE,
    "dns",
    frozenset({"ts", "uid", "id.orig_h", "trans_id", "query", "qtype_name", "rcode_name", "answers"}),
    frozenset({"query", "trans_id", "qtype_name", "rcode_name"}),
    REQUIRED,
    event,
)
