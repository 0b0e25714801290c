"""From analytics of ATT&CK to their detection strategy and technique.

The table beside this file is derived from MITRE's own data (attack_mobile.json, which carries the notice that
its licence asks for). An analytic has no relationship to a technique: its strategy has one, so a technique
that is named here is always "via" the strategy.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from dsl import model as m
from engine.alerting.authored import authored

VERSION: Final = "19"
"""Of ATT&CK, for layers. The table was made from 18.1; ids keep their meaning, texts do not."""


class Analytic(msgspec.Struct, frozen=True):
    """Where an analytic belongs: its strategy, what that detects, and its platforms."""

    strategy: str
    technique: str
    platforms: tuple[str, ...]


class Claim(msgspec.Struct, frozen=True):
    """What a rule says of ATT&CK in its META: analytics, strategy, and for each technique through what it is
    reached: ``META``, or the id of a strategy.
    """

    analytics: tuple[str, ...]
    strategy: str | None
    techniques: dict[str, str]


class _Table(msgspec.Struct, frozen=True):
    notice: str
    source: str
    analytics: dict[str, Analytic]


@cache
def _table() -> _Table:
    raw = files("engine.report.coverage").joinpath("attack_mobile.json").read_bytes()
    return msgspec.json.decode(raw, type=_Table)


def notice() -> str:
    """MITRE's notice, to stand wherever the table is used."""
    return _table().notice


def analytic(name: str) -> Analytic | None:
    """An analytic by its id such as ``AN1756``; None where the table does not have it."""
    return _table().analytics.get(name)


def claim_of(rule: m.Rule) -> Claim:
    """What a rule's META says, with the techniques that its analytics' strategies detect."""
    attack: dict[str, Any] = authored(rule).attack
    analytics = tuple(str(name) for name in attack["analytics"])
    techniques = {str(name): "META" for name in attack["techniques"]}
    strategy = str(attack["strategy"]) if "strategy" in attack else None
    for name in analytics:
        found = analytic(name)
        if found is not None:
            techniques.setdefault(found.technique, found.strategy)
            strategy = strategy or found.strategy
    return Claim(analytics, strategy, techniques)


def platform_of(rule: m.Rule) -> str | None:
    """The platform a rule is for, ``ios`` or ``android``: META's ``platform``, else that of its analytics;
    None for any.
    """
    written = rule.meta.get("platform", [])
    named = {str(one).lower() for one in (written if isinstance(written, list) else [written])}
    if not named:
        for name in claim_of(rule).analytics:
            found = analytic(name)
            named.update(one.lower() for one in (found.platforms if found is not None else ()))
    return next(iter(named)) if len(named) == 1 and named <= {"ios", "android"} else None
