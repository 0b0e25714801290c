"""Apple's .ips diagnostic reports -> app.exit.

The file is one line of JSON, the header, and a body. The body is plain text up to iOS 14 (bug type 109), JSON
from iOS 15 on (309) and for panics, resets (210, 151) and jetsam (298). Field names: Apple, "Interpreting the
JSON format of a crash report" and "Examining the fields in a crash report"; jetsam and panic bodies are read
off real reports.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from engine.sources import ips_text, times
from engine.sources.exit_class import ANALYTICS, JETSAM, ExitFacts, exit_class
from engine.sources.ips_text import Facts
from engine.sources.json_text import decode
from engine.sources.lines import MAX_NAME_CHARACTERS, Input
from engine.sources.records import Record, Refusal, Refused, shown

SOURCE = "ios.ips"

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""A larger file is refused. The largest kinds, stackshots and panics, are a few MiB."""

MAPPING = {
    # body, JSON | body, text | header -> canonical
    "captureTime, date | Date/Time | timestamp": "time",
    "crashReporterKey | CrashReporter Key": "device",  # unless the caller knows the device
    "incident | Incident Identifier | incident_id": "id",
    "bundleInfo.CFBundleIdentifier | Identifier (with a dot) | bundleID": "app",
    "procName | Process | app_name, name": "process",
    "bundleInfo.CFBundleShortVersionString | Version | app_version": "app_version",
    "os_version": "os_version",
    "is_first_party": "first_party",
    "procRole | Role": "role",
    "exception.type | Exception Type": "exception",
    "exception.signal | Exception Type": "signal",
    "exception.subtype | Exception Subtype": "subtype",
    "termination.namespace | Termination Reason": "namespace",
    "termination.code | Termination Reason": "code",  # hexadecimal text: "0x8badf00d"
    "all of the above": "class",  # see exit_class
}
"""Where a canonical field comes from. Body before header: the header's time is that of the report, seconds
after the crash."""


class Header(msgspec.Struct):
    """The first line."""

    bug_type: str | int | None = None
    timestamp: str | None = None
    incident_id: str | None = None
    app_name: str | None = None
    name: str | None = None
    bundleID: str | None = None
    app_version: str | None = None
    os_version: str | None = None
    is_first_party: bool | int | None = None


class BundleInfo(msgspec.Struct):
    """The app that the process belongs to."""

    CFBundleIdentifier: str | None = None
    CFBundleShortVersionString: str | None = None


class Exception_(msgspec.Struct):
    """What the processor or the kernel raised."""

    type: str | None = None
    signal: str | None = None
    subtype: str | None = None
    codes: str | None = None


class Termination(msgspec.Struct):
    """Which part of the system ended the process, and why."""

    namespace: str | None = None
    code: int | str | None = None
    indicator: str | None = None


class Body(msgspec.Struct):
    """The fields of a JSON body that are read."""

    captureTime: str | None = None
    date: str | None = None
    incident: str | None = None
    crashReporterKey: str | None = None
    procName: str | None = None
    procRole: str | None = None
    bundleInfo: BundleInfo | None = None
    exception: Exception_ | None = None
    termination: Termination | None = None
    # In other bug types these two names can stand for something else; they are decoded where they are needed.
    string: msgspec.Raw = msgspec.Raw()
    processes: msgspec.Raw = msgspec.Raw()


class JetsamProcess(msgspec.Struct):
    """One process of a jetsam report. Only one with a `reason` was killed."""

    name: str | None = None
    pid: int | None = None
    reason: str | None = None


_HEADER = msgspec.json.Decoder(Header)
_BODY = msgspec.json.Decoder(Body)
_TEXT = msgspec.json.Decoder(str)
_PROCESSES = msgspec.json.Decoder(list[JetsamProcess])


def parse(document: bytes, device: str | None = None, raw_ref: str | None = None) -> list[dict[str, Any]]:
    """The events of one report: one, except that a jetsam report gives one for each process it killed.

    `device` overrides the crash reporter key of the report; `raw_ref` is put into the events.
    Raises Refused: the reasons of `json_text.decode`, "truncated", "missing_device", "bad_time",
    "missing_field", "document_too_large".
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise too_large()
    first, _, rest = document.lstrip().partition(b"\n")
    header = decode(first.strip(), _HEADER)
    if header.bug_type is None:
        raise Refused("missing_field", "The first line has no bug_type; is it a diagnostic report?")
    bug_type = str(header.bug_type)
    facts, processes = _facts(header, bug_type, rest.strip())
    owner = device or facts.device
    if not owner:
        raise Refused("missing_device", "The report has no crash reporter key; name the device (--device).")
    event: dict[str, Any] = {
        "kind": "app.exit",
        "device": owner,
        "time": times.from_text(_time_of(facts, header)),
        "id": facts.incident or header.incident_id,
        "source": SOURCE,
        "quality": "exact",
        "attribution": "app" if facts.app or header.bundleID else "device",
        "app": facts.app or header.bundleID,
        "process": facts.process or header.app_name or header.name,
        "app_version": facts.app_version or header.app_version,
        "os_version": header.os_version,
        "first_party": None if header.is_first_party is None else bool(header.is_first_party),
        "role": facts.role,
        "exception": facts.exit.exception,
        "signal": facts.exit.signal,
        "subtype": facts.subtype,
        "namespace": facts.exit.namespace,
        "code": facts.code,
        "class": exit_class(facts.exit),
        "raw_ref": raw_ref,
    }
    if bug_type == JETSAM:
        return [_known(killed) for killed in _jetsam(event, processes)]
    return [_known(event)]


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """The one report that a file is."""
    origin = shown(name, MAX_NAME_CHARACTERS)
    document = bytearray()
    for chunk in source.chunks():
        document += chunk
        if len(document) > MAX_DOCUMENT_BYTES:
            yield too_large().at(origin)
            return
    if source.failure is not None:
        yield source.failure.at(origin)
        return
    if not document.strip():
        yield Refusal(origin, "empty_file", "The file contains nothing.")
        return
    try:
        events = parse(bytes(document), device, origin)
    except Refused as refused:
        yield refused.at(origin)
        return
    for event in events:
        yield Record(event, origin)


def too_large() -> Refused:
    """Why a document above the limit is refused."""
    return Refused("document_too_large", f"The report is larger than {MAX_DOCUMENT_BYTES} bytes.")


def _facts(header: Header, bug_type: str, rest: bytes) -> tuple[Facts, list[JetsamProcess]]:
    if bug_type == ANALYTICS:
        # Its body is rows of another format, of which nothing would be read.
        return Facts(ExitFacts(bug_type)), []
    if not rest:
        raise Refused("truncated", "The report ends after its header.")
    if not rest.startswith(b"{"):
        return ips_text.facts(rest, bug_type), []
    try:
        body = decode(rest, _BODY)
    except Refused as refused:
        if refused.reason == "malformed_json" and not rest.endswith(b"}"):
            raise Refused("truncated", "The report ends in the middle of its body.") from None
        raise
    processes = decode(bytes(body.processes), _PROCESSES) if bug_type == JETSAM and body.processes else []
    return _json_facts(body, bug_type), processes


def _json_facts(body: Body, bug_type: str) -> Facts:
    exception = body.exception or Exception_()
    termination = body.termination or Termination()
    code = ips_text.number(str(termination.code)) if termination.code is not None else None
    signal = exception.signal or ""
    bundle = body.bundleInfo or BundleInfo()
    return Facts(
        exit=ExitFacts(
            bug_type=bug_type,
            exception=exception.type,
            signal=ips_text.signal_name(signal),
            namespace=termination.namespace,
            codes=ips_text.codes(code, exception.codes),
            invalid_signature=ips_text.INVALID_SIGNATURE in signal.lower(),
            panic_text=_panic_text(body),
        ),
        time=body.captureTime or body.date,
        device=body.crashReporterKey,
        incident=body.incident,
        app=bundle.CFBundleIdentifier,
        process=body.procName,
        app_version=bundle.CFBundleShortVersionString,
        role=body.procRole,
        subtype=exception.subtype,
        code=None if code is None else hex(code),
    )


def _panic_text(body: Body) -> str | None:
    try:
        return decode(bytes(body.string), _TEXT) if body.string else None
    except Refused:
        # Only bug type 210 has a panic text here; without it, it is a panic.
        return None


def _time_of(facts: Facts, header: Header) -> str:
    time = facts.time or header.timestamp
    if time is None:
        raise Refused("missing_field", "Neither the body nor the header says when it happened.")
    return time


def _jetsam(event: dict[str, Any], processes: list[JetsamProcess]) -> Iterator[dict[str, Any]]:
    """One event for each process that was killed, or one that says that none was."""
    killed = [process for process in processes if process.reason]
    if not killed:
        yield event | {"class": "not_an_exit"}
    for place, process in enumerate(killed):
        one = event | {
            "class": "resource",
            "process": process.name,
            "namespace": "JETSAM",
            "code": process.reason,
        }
        if event["id"] and place:
            one["id"] = f"{event['id']}:{place}"
        yield one


def _known(event: dict[str, Any]) -> dict[str, Any]:
    """Without what is unknown; Apple writes an empty text, "???" or "-" where it does not know either."""
    return {name: value for name, value in event.items() if value not in (None, "", "???", "-")}
