"""Telemetry formats -> canonical events.

`read` takes a stream of any format known here. A format's module has `parse`, a pure function from the bytes
of one line or document to a list of events, for who gets them one at a time.
"""

from collections.abc import Callable, Iterator
from datetime import tzinfo
from typing import BinaryIO

from engine.sources import (
    app_privacy,
    eve,
    fluent_bit,
    ips,
    mdm,
    mobile_installation,
    mtd,
    mvt,
    ndjson,
    netusage,
    powerlog,
    tcc,
    tombstone,
    wireshark,
    zeek,
)
from engine.sources.detect import detect
from engine.sources.lines import MAX_NAME_CHARACTERS, Input
from engine.sources.ndjson import raw_lines
from engine.sources.records import REASONS, Record, Refusal, Refused, shown

__all__ = ["REASONS", "SOURCES", "Record", "Refusal", "Refused", "raw_lines", "read"]

Reader = Callable[[Input, str, str | None], Iterator[Record | Refusal]]

SOURCES: dict[str, Reader] = {
    ndjson.SOURCE: ndjson.read,
    fluent_bit.SOURCE: fluent_bit.read,
    zeek.SOURCE: zeek.read,
    eve.SOURCE: eve.read,
    wireshark.SOURCE: wireshark.read,
    ips.SOURCE: ips.read,
    app_privacy.SOURCE: app_privacy.read,
    powerlog.SOURCE: powerlog.read,
    netusage.SOURCE: netusage.read,
    tcc.SOURCE: tcc.read,
    mobile_installation.SOURCE: mobile_installation.read,
    tombstone.SOURCE: tombstone.read,
    mvt.SOURCE: mvt.read,
    mdm.SOURCE: mdm.read,
    mtd.SOURCE: mtd.read,
}
"""Every source by its name."""

EVENTS: dict[str, frozenset[str]] = {
    "zeek.conn": frozenset({"net.flow"}),
    "zeek.dns": frozenset({"net.dns"}),
    "zeek.ssl": frozenset({"net.tls"}),
    eve.SOURCE: frozenset({"net.flow", "net.dns", "net.tls", "net.anomaly", "mtd.threat"}),
    wireshark.SOURCE: frozenset({"net.flow"}),
    ips.SOURCE: frozenset({"app.exit"}),
    app_privacy.SOURCE: frozenset({"app.access", "net.flow"}),
    powerlog.SOURCE: frozenset({"net.flow", "app.lifecycle"}),
    netusage.SOURCE: frozenset({"net.flow"}),
    tcc.SOURCE: frozenset({"permission.change"}),
    mobile_installation.SOURCE: frozenset({"app.lifecycle"}),
    tombstone.SOURCE: frozenset({"app.exit"}),
    mvt.SOURCE: frozenset({"net.flow", "forensic.trace"}),
    mdm.SOURCE: frozenset({"device.config", "device.posture", "app.lifecycle", "sensor.health"}),
    mtd.SOURCE: frozenset({"mtd.threat", "device.posture"}),
}
"""Which kinds come under which `source` of events: what a fleet can see at all. The source of `mdm` and `mtd`
goes on with ".vendor" where the vendor is known; `ndjson` and `fluent_bit` hand on what they are given."""


def read(
    stream: BinaryIO,
    name: str,
    source: str | None = None,
    device: str | None = None,
    zone: tzinfo | None = None,
) -> Iterator[Record | Refusal]:
    """The events of `stream` in its order, and a Refusal in place of everything that gave none.

    `name` is the file name used in origins. `source` is one of SOURCES; None finds it by content. `device` is
    the device of all events of a source that does not know it by itself (docs/reference/sources.md says
    which); `zone` is where the clock stood of a source that writes local times. No content of the stream
    raises; memory is bounded whatever its length.
    Raises ValueError, at once, when there is no such source.
    """
    if source is not None and source not in SOURCES:
        raise ValueError(f"There is no source '{shown(source)}'; the sources are {', '.join(SOURCES)}.")
    return _read(Input(stream, zone), name, source, device)


def _read(
    source: Input, name: str, format_name: str | None, device: str | None
) -> Iterator[Record | Refusal]:
    if format_name is None:
        try:
            format_name = detect(source)
        except Refused as refused:
            yield refused.at(shown(name, MAX_NAME_CHARACTERS))
            return
    yield from SOURCES[format_name](source, name, device)
