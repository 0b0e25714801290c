"""Android's tombstones (text) -> app.exit: native crashes, as debuggerd writes them.

Form: Android Open Source Project, "Debugging native Android platform code". The binary form (.pb) of newer
systems always has the text beside it, and is not read. One file may hold several, one after the other.
Streams.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.sources import times
from engine.sources.exit_class import SIGNALS
from engine.sources.lines import MAX_NAME_CHARACTERS, Input, lines
from engine.sources.records import Record, Refusal, Refused, missing_device, shown

SOURCE = "android.tombstone"

MAPPING = {
    "Timestamp": "time",
    "Cmdline": "app",  # newer systems; else the name in >>> <<<; where it looks like a package
    ">>> <<<": "process",
    "signal (name)": "signal",
    "code (name)": "subtype",
    "Abort message": "exception",  # its first words, where they name what found the fault
    "Build fingerprint": "os_version",
    "all of the above": "class",
}

MARK = b"*** *** ***"
"""Begins the first line of every tombstone."""

HEAD_LINES = 40
"""What is read stands in the first lines; registers, stacks and maps after them are not read."""

CORRUPTION = ("stack corruption detected", "FORTIFY:", "Scudo ERROR:", "CFI:", "[GWP-ASan]")
"""Beginnings of abort messages of Android's C library, allocator and compiler when they find memory in a
state that only a violation leaves behind. SIGABRT then is what a memory violation looks like."""

CLASSES = SIGNALS | {"SIGSYS": "sandbox"}
"""SIGSYS: the process made a system call that its filter (seccomp) forbids."""

_PROCESS = re.compile(rb"pid: (\d{1,10}), tid: (\d{1,10}), name: (.{0,64}?)  >>> (.{1,1024}?) <<<")
_SIGNAL = re.compile(rb"signal (\d{1,3}) \((\w{1,16})\)(?:, code (-?\d{1,10}) \((\w{1,32})[^)]{0,64}\))?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{1,9})?([+-]\d{4})")
_PACKAGE = re.compile(r"[a-zA-Z]\w*(?:\.[a-zA-Z]\w*)+", re.ASCII)
_RELEASE = re.compile(r"'[^/']*/[^/']*/[^/']*:([^/']{1,32})/([^/']{1,64})/")
_FIELDS = (b"Build fingerprint:", b"Timestamp:", b"Cmdline:", b"Abort message:")


class Facts(msgspec.Struct):
    """The lines of a tombstone's head that are read."""

    origin: str = ""
    lines: int = 0
    fields: dict[bytes, str] = {}
    process: re.Match[bytes] | None = None
    signal: re.Match[bytes] | None = None

    def add(self, line: bytes) -> None:
        """Take a line of the head. Of what stands there twice the first counts."""
        self.lines += 1
        if self.lines > HEAD_LINES:
            return
        for name in _FIELDS:
            if line.startswith(name) and name not in self.fields:
                self.fields[name] = line[len(name) :].strip().decode("utf-8", "replace")
        self.process = self.process or _PROCESS.match(line)
        self.signal = self.signal or _SIGNAL.match(line)


def parse(document: bytes, device: str) -> list[dict[str, Any]]:
    """The event of one tombstone. Raises Refused: "missing_device", "missing_field", "bad_time"."""
    facts = Facts()
    for line in document.split(b"\n", HEAD_LINES)[:HEAD_LINES]:
        facts.add(line.strip(b"\r"))
    return [event(facts, device)]


def event(facts: Facts, device: str) -> dict[str, Any]:
    """The event of what was gathered. Raises as `parse`."""
    if not device:
        raise missing_device("A tombstone")
    if facts.process is None or facts.signal is None:
        # Java crashes and dumps on request have the form of a tombstone and no signal.
        what = "process (pid: ... >>> <<<)" if facts.process is None else "signal"
        raise Refused("missing_field", f"The tombstone names no {what}.")
    time = _time(facts.fields.get(b"Timestamp:"))
    process = facts.process[4].decode("utf-8", "replace")
    command = facts.fields.get(b"Cmdline:", "").partition(" ")[0] or process
    signal = facts.signal[2].decode()
    message = facts.fields.get(b"Abort message:", "").strip("'")
    app = command.partition(":")[0]
    parts = (device, str(time), facts.process[1].decode(), facts.process[2].decode(), process)
    found: dict[str, Any] = {
        "kind": "app.exit",
        "device": device,
        "time": time,
        "id": hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest(),
        "source": SOURCE,
        "quality": "exact",
        "app": app if _PACKAGE.fullmatch(app) else None,
        "process": process,
        "signal": signal,
        "subtype": facts.signal[4].decode() if facts.signal[4] else None,
        "exception": next((mark.strip(":") for mark in CORRUPTION if mark in message), None),
        "os_version": _release(facts.fields.get(b"Build fingerprint:", "")),
    }
    found["attribution"] = "app" if found["app"] else "device"
    found["class"] = "memory_violation" if found["exception"] else CLASSES.get(signal, "unknown")
    return {name: value for name, value in found.items() if value not in (None, "")}


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All tombstones of a file. Without a device it is refused as a whole, once."""
    if not device:
        yield missing_device("A tombstone").at(shown(name, MAX_NAME_CHARACTERS))
        return
    facts: Facts | None = None
    for item in lines(source, name):
        if isinstance(item, Refusal):
            # Dumps of memory after the head may hold anything.
            if facts is None or facts.lines < HEAD_LINES or item.reason in ("read_error", "empty_file"):
                yield item
            continue
        origin, line = item
        if line.lstrip().startswith(MARK):
            if facts is not None:
                yield _answer(facts, device)
            facts = Facts(origin=origin)
        elif facts is None:
            yield Refusal(origin, "malformed_line", "The line is not part of a tombstone.")
        else:
            facts.add(line)
    if facts is not None:
        yield _answer(facts, device)


def _answer(facts: Facts, device: str) -> Record | Refusal:
    try:
        return Record(event(facts, device) | {"raw_ref": facts.origin}, facts.origin)
    except Refused as refused:
        return refused.at(facts.origin)


def _time(text: str | None) -> int:
    if not text:
        raise Refused("missing_field", "The tombstone has no Timestamp.")
    found = _TIME.fullmatch(text)
    return times.from_text("".join(part or "" for part in found.groups()) if found else text)


def _release(fingerprint: str) -> str | None:
    """ "Android 10 (QP1A.190711.020)" from a build fingerprint, brand/product/device:RELEASE/BUILD/..."""
    found = _RELEASE.match(fingerprint)
    return f"Android {found[1]} ({found[2]})" if found else None
