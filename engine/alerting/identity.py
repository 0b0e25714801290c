"""What makes two alerts, and two rules, the same."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from dsl import model as m
from engine.automaton import Match

_NOT_MEANING = {"span", "name_span", "file", "text"}
_encode = msgspec.json.Encoder().encode
_EMPTY = blake2b(digest_size=12)
"""To copy one costs less than to make one."""
_MEANING = ("name", "by", "pattern", "unless", "select")


def alert_id(rule: m.Rule, device: str, match: Match) -> str:
    """The id an alert is born with: a hash of rule, key and completing event (LANGUAGE.md 4.10)."""
    events = match.events
    parts: tuple[Any, ...] = (rule.name, device, match.key, events[-1].event_id)
    if rule.select == "each":
        parts = (*parts, events[0].event_id)
    hashed = _EMPTY.copy()
    hashed.update(_encode(parts))
    return hashed.hexdigest()


def semantic_hash(rule: m.Rule) -> str:
    """A hash of what a rule matches: keys, pattern, bounds, filters, guards; not META, texts or layout."""

    def strip(value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            fields = {f: strip(getattr(value, f)) for f in value.__struct_fields__ if f not in _NOT_MEANING}
            return {"is": type(value).__name__, **fields}
        if isinstance(value, tuple | list):
            return [strip(v) for v in value]
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items()}
        return value

    return blake2b(
        msgspec.json.encode({f: strip(getattr(rule, f)) for f in _MEANING}), digest_size=8
    ).hexdigest()
