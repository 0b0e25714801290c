"""The plain-text body of older .ips reports, and what it shares with the JSON body.

Field names: Apple, "Examining the fields in a crash report".
"""

import re

import msgspec

from engine.sources.exit_class import ExitFacts

HEAD_LINES = 200
"""The fields stand in the first lines, some 30 of them; the threads and images after them are not read."""

FIELDS = frozenset(
    {
        "Incident Identifier",
        "CrashReporter Key",
        "Process",
        "Identifier",
        "Version",
        "Role",
        "Date/Time",
        "Exception Type",
        "Exception Subtype",
        "Exception Codes",
        "Termination Reason",
    }
)

INVALID_SIGNATURE = "code signature invalid"
"""Lower case; stands where the signal is named."""

_SIGNAL = re.compile(r"\bSIG[A-Z0-9]{2,10}\b")
_NAMESPACE = re.compile(
    r"(?:Namespace\s+)?(?!Namespace\b)([A-Za-z<][\w.<>]{0,63})"
    r"\s*,?\s*(?:Code\s+)?\[?(0[xX][0-9a-fA-F]+|\d+)?"
)
_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]{1,16})|(\d{1,20})", re.ASCII)
_PROCESS_ID = re.compile(r"\s*\[\d+\]$")


class Facts(msgspec.Struct):
    """What the body of a report says, whichever layout it has. None is unknown."""

    exit: ExitFacts
    time: str | None = None
    device: str | None = None
    incident: str | None = None
    app: str | None = None
    process: str | None = None
    app_version: str | None = None
    role: str | None = None
    subtype: str | None = None
    code: str | None = None


def facts(body: bytes, bug_type: str) -> Facts:
    """What a text body says. Never refuses: a field that is not there, or not as expected, is unknown."""
    fields = _fields(body)
    exception, _, signal = fields.get("Exception Type", "").partition(" ")
    namespace, code = _termination(fields.get("Termination Reason", ""))
    identifier = fields.get("Identifier", "")
    return Facts(
        exit=ExitFacts(
            bug_type=bug_type,
            exception=exception or None,
            signal=signal_name(signal),
            namespace=namespace,
            codes=codes(code, fields.get("Exception Codes")),
            invalid_signature=INVALID_SIGNATURE in signal.lower(),
        ),
        time=fields.get("Date/Time"),
        device=fields.get("CrashReporter Key"),
        incident=fields.get("Incident Identifier"),
        # A program that is no app has its own name here, which must not pass for a bundle id.
        app=identifier if "." in identifier else None,
        process=_PROCESS_ID.sub("", fields.get("Process", "")) or None,
        app_version=fields.get("Version"),
        role=fields.get("Role"),
        subtype=fields.get("Exception Subtype"),
        code=None if code is None else hex(code),
    )


def signal_name(text: str) -> str | None:
    """The name in a text: "SIGKILL" from "SIGKILL", "(SIGKILL)" or "SIGKILL (Code Signature Invalid)"."""
    found = _SIGNAL.search(text)
    return found[0] if found else None


def number(text: str) -> int | None:
    """A hexadecimal ("0x8badf00d") or decimal code; None for anything else."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return None
    return int(found[1], 16) if found[1] else int(found[2])


def codes(termination: int | None, exception_codes: str | None) -> tuple[int, ...]:
    """The termination code, then those of a list such as "0x0000000000000001, 0x0000000000000000"."""
    listed = [number(part) for part in (exception_codes or "")[:200].split(",")]
    return tuple(code for code in (termination, *listed) if code is not None)


def _fields(body: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in body.split(b"\n", HEAD_LINES)[:HEAD_LINES]:
        if line.startswith(b"Thread "):
            break
        # Bytes that are not UTF-8 are replaced: a strange process name must not hide the crash.
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        # The first one counts: what an app can write into the report itself comes further down.
        if colon and name in FIELDS and name not in found:
            found[name] = value.strip()
    return found


def _termination(text: str) -> tuple[str | None, int | None]:
    """Namespace and code from "Namespace SPRINGBOARD, Code 0x8badf00d", "FRONTBOARD 2343432205" or
    "DYLD, [0x1] Library missing"."""
    found = _NAMESPACE.match(text)
    if found is None:
        return None, None
    return found[1], number(found[2]) if found[2] else None
