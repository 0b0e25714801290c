"""Changes that a management service reports (documented generic JSON lines) -> device.config, device.posture,
app.lifecycle, sensor.health.

One change a line; who polls a service has to compare its answers and send what differs. Names of items are
those of Apple's declarative management status (StatusItem, github.com/apple/device-management, MIT) where it
has one. Streams: nothing is held between rows.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.sources import times
from engine.sources.json_text import decode
from engine.sources.lines import Input, records
from engine.sources.records import Record, Refusal, Refused, shown

SOURCE = "mdm"
TYPE = "mdm.change"

MAPPING = {
    "device": "device",
    "time": "time",
    "id": "id",
    "vendor": "source",  # mdm.<vendor>
    "item": "item",  # see ITEMS
    "from": "from",  # for apps: from_version
    "to": "to",  # for apps: app_version
    "app": "app",
    "actor": "actor",
    "os, os_version, model, managed, supervised": "os, os_version, model, managed, supervised",
}

ITEMS = {
    "device.operating-system.version": "os_version",
    "device.operating-system.build-version": "os_version",
    "device.operating-system.supplemental.build-version": "os_version",
    "device.operating-system.supplemental.extra-version": "os_version",
    "passcode.is-present": "passcode",
    "security.lockdown-mode": "lockdown_mode",
    "security.certificate.list": "certificate",
    "management.profile.list": "profile",
}
"""Names of a status item -> `item` of device.config. Any other item keeps its own name."""

POSTURE = {
    "passcode.is-compliant": "compliant",
    "compliant": "compliant",
    "compromised": "compromised",
    "attested": "attested",
}
"""Items that are true or false and become device.posture."""

RISKS = frozenset({"secure", "low", "medium", "high"})
APPS = frozenset({"app.managed.list", "mdm.app", "app"})
CHECK_IN = "check-in"
ACTORS = frozenset({"user", "mdm", "system"})


class Change(msgspec.Struct):
    """One line."""

    device: str | None = None
    time: str | int | None = None
    id: str | None = None
    vendor: str | None = None
    item: str | None = None
    from_: Any = msgspec.field(name="from", default=None)
    to: Any = None
    app: str | None = None
    actor: str | None = None
    os: str | None = None
    os_version: str | None = None
    model: str | None = None
    managed: bool | None = None
    supervised: bool | None = None


_DECODER = msgspec.json.Decoder(Change)


def parse(line: bytes, device: str | None = None) -> list[dict[str, Any]]:
    """The event of one change; `device` overrides the one of the line.

    Raises Refused: the reasons of `json_text.decode`, "missing_device", "missing_field", "wrong_type",
    "bad_time".
    """
    change = decode(line, _DECODER)
    owner = device or change.device
    if not owner:
        raise Refused("missing_device", "The change names no device.")
    if not change.item:
        raise Refused("missing_field", "The change names no item.")
    if change.actor is not None and change.actor not in ACTORS:
        raise Refused("wrong_type", f"actor is '{shown(change.actor)}', not one of user, mdm, system.")
    vendor = f"{SOURCE}.{change.vendor}" if change.vendor else SOURCE
    event: dict[str, Any] = {
        "kind": "",
        "device": owner,
        "time": moment(change.time),
        "id": change.id or _id(line),
        "source": vendor,
        "quality": "exact",
        "attribution": "app" if change.app else "device",
    }
    event |= _fields(change, change.item)
    return [{name: value for name, value in event.items() if value not in (None, "")}]


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All lines of a file."""
    for item in records(source, name, lambda line: parse(line, device)):
        if isinstance(item, Record):
            item.event["raw_ref"] = item.origin
        yield item


def moment(value: str | int | None) -> int:
    """A time as RFC 3339 or epoch milliseconds. Raises Refused "missing_field", "bad_time"."""
    if value is None:
        raise Refused("missing_field", "The line has no time.")
    return times.from_text(value) if isinstance(value, str) else times.checked(value, value)


def _fields(change: Change, item: str) -> dict[str, Any]:
    if item == CHECK_IN:
        return {"kind": "sensor.health", "sensor": f"mdm.{change.vendor or 'check-in'}", "status": "ok"}
    if item in APPS:
        return _app(change)
    if item in POSTURE or item == "risk":
        return _posture(change, item)
    return {
        "kind": "device.config",
        "item": ITEMS.get(item, item),
        "from": as_text(change.from_, "from"),
        "to": as_text(change.to, "to"),
        "actor": change.actor,
    }


def _app(change: Change) -> dict[str, Any]:
    if not change.app:
        raise Refused("missing_field", "The change of an app names no app.")
    before, after = as_text(change.from_, "from"), as_text(change.to, "to")
    if before is None and after is None:
        raise Refused("missing_field", "The change of an app has neither from nor to (its versions).")
    if before is None:
        phase = "install"
    elif after is None:
        phase = "remove"
    else:
        phase = "update"
    return {
        "kind": "app.lifecycle",
        "app": change.app,
        "phase": phase,
        "app_version": after,
        "from_version": before,
        "actor": change.actor,
        "managed": change.managed,
    }


def _posture(change: Change, item: str) -> dict[str, Any]:
    event: dict[str, Any] = {
        "kind": "device.posture",
        "item": item,
        "from": as_text(change.from_, "from"),
        "to": as_text(change.to, "to"),
        "os": change.os,
        "os_version": change.os_version,
        "model": change.model,
        "managed": change.managed,
        "supervised": change.supervised,
    }
    if item == "risk":
        if change.to not in RISKS:
            raise Refused(
                "wrong_type", f"risk is '{shown(change.to)}', not one of secure, low, medium, high."
            )
        return event | {"risk": change.to}
    if not isinstance(change.to, bool):
        raise Refused("wrong_type", f"{item} goes to '{shown(change.to)}', neither true nor false.")
    return event | {POSTURE[item]: change.to}


def as_text(value: Any, name: str) -> str | None:
    """A value before or after, as text: true, 7 and "x" as they are written. Raises Refused "wrong_type"
    for a list or an object: which of its parts changed is for the sender to say."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return shown(value)
    raise Refused("wrong_type", f"{name} is {shown(value)}, not a text, a number, true or false.")


def _id(line: bytes) -> str:
    """The same line is the same change: services deliver more than once."""
    return hashlib.blake2b(line.strip(), digest_size=16).hexdigest()
