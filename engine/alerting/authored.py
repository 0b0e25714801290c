"""What the author wrote in META: handed on as it is, and nothing added."""

from __future__ import annotations

from typing import Any

import msgspec

from dsl import model as m

_RESPONSE = ("playbook", "runbook")
_ATTACK = ("strategy", "attack_version", "techniques")
_OWN = ("version", "attack", "response", "status", *_RESPONSE, *_ATTACK)


class Authored(msgspec.Struct, frozen=True):
    """``response``: what to preserve, isolate, review and leave alone, with the runbook; ``attack``: ATT&CK
    references, ``techniques`` only where they are written; ``rest``: everything else.
    """

    response: dict[str, Any]
    attack: dict[str, Any]
    rest: dict[str, Any]


def authored(rule: m.Rule) -> Authored:
    """The parts of a rule's META that its alerts carry."""
    meta = rule.meta
    written = meta.get("response", {})
    response = dict(written) if isinstance(written, dict) else {"note": str(written)}
    for key in _RESPONSE:
        if key in meta:
            response.setdefault(key, meta[key])
    rest = {key: value for key, value in meta.items() if key not in _OWN}
    return Authored(response, _attack(meta), rest)


def _attack(meta: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"analytics": _listed(meta.get("attack", []))}
    if "attack_version" in meta:
        found["version"] = str(meta["attack_version"])
    if "strategy" in meta:
        found["strategy"] = meta["strategy"]
    found["techniques"] = _listed(meta.get("techniques", []))
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
