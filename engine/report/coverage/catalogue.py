"""Which source of ours can feed which kind of event, and which of its fields.

The tables of `engine.sources` (MAPPING) say where each field comes from; here is what a kind can hold at all
when it comes from a source, so that a rule can be judged before anything has arrived. A test holds this
against events that the sources give, and against `engine.sources.EVENTS`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.sources import tombstone


class Feed(msgspec.Struct, frozen=True):
    """What events of one kind from one source can hold.

    Attributes:
        fields: besides the envelope.
        platform: whose devices the source is about, None for any.
        network: it sees what passes a network sensor, not what the device does.
        values: for a field that takes only some of its values there, which.
        note: what holds of these events and limits what rules can do with them.
    """

    source: str
    kind: str
    fields: frozenset[str]
    platform: str | None = None
    network: bool = False
    values: dict[str, frozenset[str]] = {}
    note: str = ""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INTERVAL = "intervals: an event fits a window only whole"
_SUMMARY = "first and last contact only: feeds no rate"
_VERSIONS = {"phase": _words("install update remove")}

FEEDS: Final = (
    Feed(
        "zeek.conn",
        "net.flow",
        _words(
            "client_ip client_mac ip internal port transport service duration_ms bytes_out bytes_in state"
        ),
        network=True,
    ),
    Feed(
        "zeek.dns",
        "net.dns",
        _words("client_ip client_mac host domain query_type response_code answers"),
        network=True,
    ),
    Feed(
        "zeek.ssl",
        "net.tls",
        _words(
            "client_ip client_mac ip port host domain version cipher next_protocol established validation "
            "issuer ja3 ja4"
        ),
        network=True,
    ),
    Feed(
        "suricata.eve",
        "net.flow",
        _words(
            "client_ip client_mac ip internal port transport service duration_ms bytes_out bytes_in state"
        ),
        network=True,
    ),
    Feed(
        "suricata.eve",
        "net.dns",
        _words("client_ip client_mac host domain query_type response_code answers"),
        network=True,
    ),
    Feed(
        "suricata.eve",
        "net.tls",
        _words("client_ip client_mac ip port host domain version next_protocol issuer ja3 ja4"),
        network=True,
    ),
    Feed(
        "suricata.eve",
        "net.anomaly",
        _words("client_ip client_mac ip internal port transport service name category"),
        network=True,
    ),
    Feed(
        "suricata.eve",
        "mtd.threat",
        _words("client_ip client_mac ip name category level vendor"),
        network=True,
        values={"category": _words("network")},
    ),
    Feed(
        "wireshark.csv",
        "net.flow",
        _words("client_ip ip internal service transport bytes_out bytes_in"),
        network=True,
        note="one event a packet; times count from the begin of the capture",
    ),
    Feed(
        "ios.ips",
        "app.exit",
        _words(
            "app process app_version os_version first_party role exception signal subtype namespace code "
            "class"
        ),
        "ios",
    ),
    Feed("ios.app_privacy", "app.access", _words("app process resource phase access_id"), "ios"),
    Feed("ios.app_privacy", "net.flow", _words("app host domain hits"), "ios", note=_SUMMARY),
    Feed("ios.powerlog", "net.flow", _words("app process bytes_out bytes_in"), "ios", note=_INTERVAL),
    Feed(
        "ios.powerlog",
        "app.lifecycle",
        _words("app phase"),
        "ios",
        values={"phase": _words("stop suspend background foreground")},
    ),
    Feed(
        "ios.netusage",
        "net.flow",
        _words("app process bytes_out bytes_in"),
        "ios",
        note="intervals of weeks, or first and last contact only: feeds no rate",
    ),
    Feed(
        "ios.tcc",
        "permission.change",
        _words("app process permission granted"),
        "ios",
        note="the last change of each permission only",
    ),
    Feed(
        "ios.mobile_installation",
        "app.lifecycle",
        _words("app phase app_version from_version"),
        "ios",
        values=_VERSIONS,
    ),
    Feed(
        "android.tombstone",
        "app.exit",
        _words("app process signal subtype exception os_version class"),
        "android",
        values={"class": frozenset({*tombstone.CLASSES.values(), "memory_violation", "unknown"})},
        note="native crashes only",
    ),
    Feed("mvt.timeline", "net.flow", _words("app process bytes_out bytes_in"), note=_SUMMARY),
    Feed("mvt.timeline", "forensic.trace", _words("module event text")),
    Feed("mdm", "device.config", _words("item from to actor")),
    Feed(
        "mdm",
        "device.posture",
        _words("item from to os os_version model managed supervised compromised compliant attested risk"),
    ),
    Feed(
        "mdm",
        "app.lifecycle",
        _words("app phase app_version from_version actor managed"),
        values=_VERSIONS,
    ),
    Feed("mdm", "sensor.health", _words("sensor status"), values={"status": _words("ok")}),
    Feed("mtd", "mtd.threat", _words("app name category level vendor host ip")),
    Feed("mtd", "device.posture", _words("item compromised risk os os_version model")),
)
"""Every pair of source and kind. Canonical events (`ndjson`, `fluent_bit`) hold what their sender puts in
them, so they are no reason to call a rule evaluable before they arrive."""

_VENDORS: Final = ("mdm", "mtd")
_BY_KIND: Final[dict[str, tuple[Feed, ...]]] = {}
for _feed in FEEDS:
    _BY_KIND[_feed.kind] = (*_BY_KIND.get(_feed.kind, ()), _feed)
_BY_NAME: Final = {(feed.source, feed.kind): feed for feed in FEEDS}


def feeds_of(kind: str) -> tuple[Feed, ...]:
    """All that can give events of a kind."""
    return _BY_KIND.get(kind, ())


def feed_of(source: str, kind: str) -> Feed | None:
    """What a source, by its name without the vendor, can say in a kind; None if that is not known here."""
    return _BY_NAME.get((source, kind))


def base_of(source: str) -> str:
    """A source's name without the vendor that `mdm` and `mtd` add: ``mdm.acme`` is ``mdm``."""
    head = source.partition(".")[0]
    return head if head in _VENDORS else source


def platform_of(source: str) -> str | None:
    """The platform that a source's name gives away, as a device of the catalogue or by its first word."""
    head = source.partition(".")[0]
    return head if head in ("ios", "android") else None
