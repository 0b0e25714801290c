"""What cannot be observed at all, whatever is collected: said beside every rule that it concerns.

Sources of the statements: Apple's platform documentation as summarised in docs/reference/coverage.md, and
what was measured on real files.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from engine.report.coverage.model import NotObservable


class Statement(msgspec.Struct, frozen=True):
    """Holds for rules that read one of ``kinds`` on ``platform`` (None: any).

    With ``sources`` it holds only where all that the kind comes from, or could come from, is among them.
    """

    what: str
    reason: str
    kinds: frozenset[str]
    platform: str | None = None
    sources: frozenset[str] = frozenset()


_NETWORK: Final = frozenset({"net.flow", "net.dns", "net.tls", "net.anomaly"})
_SENSORS: Final = frozenset({"zeek.conn", "zeek.dns", "zeek.ssl", "suricata.eve", "wireshark.csv"})

STATEMENTS: Final = (
    Statement(
        "traffic over the cellular network",
        "a network sensor sees what passes it: Wi-Fi and VPN. Only a sensor on the device or a VPN that is "
        "always on sees the rest",
        _NETWORK,
        sources=_SENSORS,
    ),
    Statement(
        "which app sent the traffic",
        "a network sensor knows addresses. Apps are known to a per-app VPN or a content filter on the device",
        _NETWORK,
        sources=_SENSORS,
    ),
    Statement(
        "names and addresses behind iCloud Private Relay",
        "the traffic goes to mask.icloud.com or mask-h2.icloud.com, and where to from there is hidden",
        _NETWORK,
        "ios",
    ),
    Statement(
        "names that DNS over HTTPS or Encrypted Client Hello hide",
        "the question and the server name are encrypted on their way",
        frozenset({"net.dns", "net.tls"}),
        sources=_SENSORS,
    ),
    Statement(
        "the unified log (ATT&CK: iOS:unifiedlog)",
        "iOS gives it to nobody remotely; it leaves a phone with a sysdiagnose or over a cable, days later",
        frozenset({"app.exit"}),
        "ios",
    ),
    Statement(
        "crashes that nobody fetches",
        "crash reports leave a phone by the user, a sysdiagnose, USB, or the reporter of an app for itself; "
        "and whoever takes over a phone can turn them off",
        frozenset({"app.exit"}),
        "ios",
    ),
    Statement(
        "crashes of Java and Kotlin code",
        "a tombstone is written for native crashes only",
        frozenset({"app.exit"}),
        "android",
        frozenset({"android.tombstone"}),
    ),
    Statement(
        "uses of sensors between two exports",
        "an App Privacy Report is exported by hand and covers seven days",
        frozenset({"app.access"}),
        "ios",
        frozenset({"ios.app_privacy"}),
    ),
    Statement(
        "a permission that was given and taken back",
        "the database of permissions keeps the last change of each only",
        frozenset({"permission.change"}),
        "ios",
        frozenset({"ios.tcc"}),
    ),
    Statement(
        "states between two polls",
        "management and posture services are asked every quarter of an hour to some hours; what was and went "
        "in between is not reported",
        frozenset({"device.posture", "device.config"}),
        sources=frozenset({"mdm", "mtd"}),
    ),
)
"""All statements. A rule's own ones stand in its META as `not_seen`."""


def statements_for(
    kinds: Collection[str], platform: str | None, sources: dict[str, Collection[str]]
) -> tuple[NotObservable, ...]:
    """Those that concern a rule: the kinds it reads, its platform (None: any), and for each kind the sources
    it comes from.
    """
    return tuple(
        NotObservable(one.what, one.reason) for one in STATEMENTS if _concerns(one, kinds, platform, sources)
    )


def _concerns(
    one: Statement, kinds: Collection[str], platform: str | None, sources: dict[str, Collection[str]]
) -> bool:
    if one.platform is not None and platform not in (None, one.platform):
        return False
    for kind in one.kinds & set(kinds):
        known = sources.get(kind, ())
        if not one.sources or (known and all(source in one.sources for source in known)):
            return True
    return False
