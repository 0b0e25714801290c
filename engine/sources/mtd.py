"""Findings of mobile threat defence products (documented generic JSON lines) -> mtd.threat, device.posture.

Every vendor has its own layout and most are not public; this is the smallest common one, for a converter
of some lines in the pipeline to write. Streams: nothing is held between rows.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.sources.addresses import address
from engine.sources.hosts import host_fields
from engine.sources.json_text import decode
from engine.sources.lines import Input, records
from engine.sources.mdm import RISKS, moment
from engine.sources.records import Record, Refusal, Refused, shown

SOURCE = "mtd"
TYPE = "mtd.threat"

MAPPING = {
    "device": "device",
    "time": "time",
    "id": "id",
    "vendor": "vendor",  # and source: mtd.<vendor>
    "name": "name",
    "category": "category",
    "severity": "level",  # see LEVELS
    "app": "app",
    "host": "host",
    "ip": "ip",
    "compromised, risk, os, os_version, model": "compromised, risk, os, os_version, model",  # device.posture
}

LEVELS = {
    "info": "info",
    "informational": "info",
    "none": "info",
    "low": "low",
    "minor": "low",
    "medium": "medium",
    "moderate": "medium",
    "elevated": "medium",
    "high": "high",
    "major": "high",
    "severe": "high",
    "critical": "critical",
}
"""What vendors call severities."""

CATEGORIES = frozenset({"device", "app", "network", "phishing", "configuration"})


class Finding(msgspec.Struct):
    """One line."""

    device: str | None = None
    time: str | int | None = None
    id: str | None = None
    vendor: str | None = None
    name: str | None = None
    category: str | None = None
    severity: str | None = None
    app: str | None = None
    host: str | None = None
    ip: str | None = None
    compromised: bool | None = None
    risk: str | None = None
    os: str | None = None
    os_version: str | None = None
    model: str | None = None


_DECODER = msgspec.json.Decoder(Finding)


def parse(line: bytes, device: str | None = None) -> list[dict[str, Any]]:
    """The finding, and the posture if the line says `compromised` or `risk`; `device` overrides the line's.

    Raises Refused: the reasons of `json_text.decode`, "missing_device", "missing_field", "wrong_type",
    "bad_time".
    """
    finding = decode(line, _DECODER)
    owner = device or finding.device
    if not owner:
        raise Refused("missing_device", "The finding names no device.")
    if not finding.name:
        raise Refused("missing_field", "The finding has no name.")
    if finding.category is not None and finding.category not in CATEGORIES:
        raise Refused(
            "wrong_type", f"category is '{shown(finding.category)}', not one of {sorted(CATEGORIES)}."
        )
    level = None if finding.severity is None else LEVELS.get(finding.severity.lower())
    if finding.severity is not None and level is None:
        raise Refused("wrong_type", f"'{shown(finding.severity)}' is no known severity.")
    if finding.risk is not None and finding.risk not in RISKS:
        raise Refused("wrong_type", f"risk is '{shown(finding.risk)}', not one of secure, low, medium, high.")
    identifier = finding.id or hashlib.blake2b(line.strip(), digest_size=16).hexdigest()
    common = {
        "device": owner,
        "time": moment(finding.time),
        "source": f"{SOURCE}.{finding.vendor}" if finding.vendor else SOURCE,
        "quality": "exact",
        "attribution": "app" if finding.app else "device",
    }
    threat = {
        "kind": "mtd.threat",
        **common,
        "id": identifier,
        "name": finding.name,
        "category": finding.category,
        "level": level,
        "vendor": finding.vendor,
        "app": finding.app,
        **host_fields(finding.host),
        "ip": address(finding.ip, "ip")[0] if finding.ip else None,
    }
    threat.pop("domain", None)
    events: list[dict[str, Any]] = [threat]
    if finding.compromised is not None or finding.risk is not None:
        events.append(
            {
                "kind": "device.posture",
                **common,
                "attribution": "device",
                "id": f"{identifier}:posture",
                "item": finding.name,
                "compromised": finding.compromised,
                "risk": finding.risk,
                "os": finding.os,
                "os_version": finding.os_version,
                "model": finding.model,
            }
        )
    return [{name: value for name, value in event.items() if value not in (None, "")} for event in events]


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All lines of a file."""
    for item in records(source, name, lambda line: parse(line, device)):
        if isinstance(item, Record):
            item.event["raw_ref"] = item.origin
        yield item
