"""The mobile installation log of iOS (of a sysdiagnose) -> app.lifecycle.

Text lines "Wed Aug 11 05:51:02 2021 [176] <notice> (0x16bae7000) message"; a message may go on in further
lines. Apple documents none of it; the messages are read off real logs. Times are the device's local ones, and
the log does not say where that was: the caller has to. Streams; held are the versions named lately.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from engine.sources import times
from engine.sources.lines import MAX_NAME_CHARACTERS, Input, lines
from engine.sources.records import Record, Refusal, Refused, shown

SOURCE = "ios.mobile_installation"

MAPPING = {
    "date and time of the line": "time",
    "Install Successful for (Customer:app": "phase",  # install, or update after a patch was announced
    "Uninstalling identifier app": "phase",  # remove
    "Installing <MIInstallableBundle ID=app ShortVersion=": "app_version",
    "Attempting Delta patch update of app from": "from_version",
}
"""Only what the installer reports as its outcome counts. Containers that are made or destroyed are its
housekeeping: they also come with updates, restores and the first start of a device."""

NO_APP = frozenset({"Placeholder"})
"""Types of installations that put only an icon on the screen."""

MAX_HELD = 256
"""Apps of which the announced version is held until their installation is done."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_LINE = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\w{3}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4}) \[(\d+)\] (.*)",
    re.DOTALL,
)
_APP = rb"([A-Za-z0-9][\w.-]{0,254})"
_DONE = re.compile(rb"Install [Ss]uccessful for \((\w+):" + _APP + rb"\)")
_GONE = re.compile(rb"Uninstalling identifier " + _APP)
_BUNDLE = re.compile(
    rb"Installing <MIInstallableBundle[^>]*?\bID=" + _APP + rb"[^>]*?\bShortVersion=([^,;>]{1,64})"
)
_PATCH = re.compile(
    rb"Attempting (?:Delta|Parallel) patch update of " + _APP + rb"(?: from (?:version )?([\w.()-]{1,64}))?"
)


def looks_like(line: bytes) -> bool:
    """Whether a line has the form of this log."""
    return _LINE.match(line) is not None


class State:
    """What was announced for apps whose installation is not done."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}
        self._patches: dict[str, str | None] = {}

    def announce(self, message: bytes) -> None:
        """Remember a version or a patch that the message names."""
        found = _BUNDLE.search(message)
        if found is not None:
            _remember(self._versions, found[1].decode(), found[2].decode("utf-8", "replace"))
        found = _PATCH.search(message)
        if found is not None:
            _remember(self._patches, found[1].decode(), found[2].decode() if found[2] else None)

    def done(self, app: str) -> dict[str, Any]:
        """Phase and versions of an installation that is done, which are then forgotten."""
        fields: dict[str, Any] = {"phase": "update" if app in self._patches else "install"}
        version, before = self._versions.pop(app, None), self._patches.pop(app, None)
        if version:
            fields["app_version"] = version
        if before:
            fields["from_version"] = before
        return fields


def parse(line: bytes, device: str, source: Input, state: State) -> list[dict[str, Any]]:
    """The event of one line, if it tells of an app's installation or removal.

    Raises Refused: "bad_time", "malformed_line" when the line has not the form of the log, "missing_zone".
    """
    found = _LINE.match(line)
    if found is None:
        raise Refused("malformed_line", f"'{shown(line, 40)}' is no line of a mobile installation log.")
    message = found[8]
    state.announce(message)
    done, gone = _DONE.search(message), _GONE.search(message)
    if done is not None and done[1].decode() not in NO_APP:
        app = done[2].decode()
        fields = state.done(app)
    elif gone is not None:
        app = gone[1].decode()
        fields = {"phase": "remove"}
    else:
        return []
    if source.zone is None:
        raise missing_zone()
    time = times.local(_moment(found), source.zone)
    parts = (device, app, fields["phase"], str(time), found[7].decode())
    return [
        {
            "kind": "app.lifecycle",
            "device": device,
            "time": time,
            "id": hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest(),
            "source": SOURCE,
            "quality": "exact",
            "attribution": "app",
            "app": app,
            **fields,
        }
    ]


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All lines of a log. Refused as a whole, once: without a device, without a time zone, and when no line
    tells of an app."""
    whole = shown(name, MAX_NAME_CHARACTERS)
    if not device:
        yield Refusal(
            whole,
            "missing_device",
            "The log does not say which device it is from; name the device (--device).",
        )
        return
    if source.zone is None:
        yield missing_zone().at(whole)
        return
    state = State()
    rows = 0
    said_something = False
    for item in lines(source, name):
        if isinstance(item, Refusal):
            yield item
            said_something = True
            continue
        origin, line = item
        if rows and not looks_like(line):
            # The message of the line before goes on.
            continue
        try:
            for event in parse(line, device, source, state):
                yield Record(event | {"raw_ref": origin}, origin)
                said_something = True
            rows += 1
        except Refused as refused:
            yield refused.at(origin)
            said_something = True
    if not said_something:
        yield Refusal(
            whole,
            "unsupported_row",
            f"None of its {rows} messages tells of an app that was installed or removed.",
        )


def missing_zone() -> Refused:
    """Why a log without a time zone is not read: its times would be wrong by hours, and nobody would see
    it."""
    return Refused(
        "missing_zone", "The log has local times and does not say where; name the time zone (--time-zone)."
    )


def _moment(found: re.Match[bytes]) -> datetime:
    try:
        month = MONTHS.index(found[1].decode("ascii", "replace")) + 1
        return datetime(int(found[6]), month, int(found[2]), int(found[3]), int(found[4]), int(found[5]))
    except ValueError:
        raise Refused("bad_time", "The line has a date or a time that does not exist.") from None


def _remember(held: dict[str, Any], app: str, value: str | None) -> None:
    held.pop(app, None)
    held[app] = value
    if len(held) > MAX_HELD:
        del held[next(iter(held))]
