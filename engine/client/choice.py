"""Which alerts a subscriber wants, decided by their subjects alone: ``alerts.<severity>.<rule>.<device>``."""

from __future__ import annotations

import msgspec

from engine.service.errors import SettingsError
from engine.service.subjects import encode_token

SEVERITIES = ("none", "info", "low", "medium", "high", "critical")
SHADOW = "shadow"
"""In the place of the severity: the alerts of rules on trial (``META { status: shadow }``)."""


class Choice(msgspec.Struct, frozen=True):
    """``severities``: those at creation, all when empty. A rule's name may be written with spaces."""

    severities: frozenset[str] = frozenset()
    rule: str | None = None
    device: str | None = None
    shadow: bool = False

    def __post_init__(self) -> None:
        for severity in self.severities:
            if severity not in SEVERITIES:
                raise SettingsError(f"A severity is one of {', '.join(SEVERITIES)}, not {severity[:40]!r}.")

    @property
    def subject(self) -> str:
        """One subject that takes in everything wanted, for the server.

        One, because a consumer with several filters makes the server slow; `wants` does the rest.
        """
        named = [SHADOW] if self.shadow else []
        wanted = [*self.severities, *named] if self.severities else []
        severity = wanted[0] if len(wanted) == 1 else "*"
        rule = "*" if self.rule is None else encode_token("_".join(self.rule.split()))
        device = "*" if self.device is None else encode_token(self.device)
        if severity == rule == device == "*":
            return "alerts.>"
        return f"alerts.{severity}.{rule}.{device}"

    def wants(self, subject: str) -> bool:
        """Whether an alert under ``subject``, which matches `subject`, is wanted."""
        severity = subject.split(".", 2)[1]
        if severity == SHADOW:
            return self.shadow
        return not self.severities or severity in self.severities
