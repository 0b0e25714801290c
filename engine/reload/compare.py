"""Two rule sets, rule by rule: what a reload does to the state of each.

What a rule matches is in its semantic hash: keys, pattern, bounds, filters, guards and the values of the
PARAMs in them. Three more things are part of it here: the rules whose alerts it reads, which of its keys
the event types declare, and how the engine runs it. LISTs and BASELINEs are not: kept answers stay as they
were given when the events arrived.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal

import msgspec

from dsl import model as m
from engine.alert_events import read_rules
from engine.alerting.identity import semantic_hash
from engine.events import attribute
from engine.matcher import Matcher
from engine.plan import RulePlan

Fate = Literal["unchanged", "metadata", "changed", "new", "removed"]
_PLACES = frozenset({"span", "name_span", "file", "text"})


class Change(msgspec.Struct, frozen=True):
    """What became of one rule, and in a few words why."""

    rule: str
    fate: Fate
    why: str = ""


def compare(old: Matcher, new: Matcher) -> list[Change]:
    """Each rule of two sets that run, those of the new set first, in the order in which they run."""
    before = {plan.rule.name: plan for plan in old.plan.rules}
    after = {plan.rule.name: plan for plan in new.plan.rules}
    found: dict[str, Change] = {}
    for name, plan in after.items():
        # A rule comes after those it reads.
        found[name] = _of_rule(name, before.get(name), plan, old, new, found)
    gone = [Change(name, "removed") for name in before if name not in after]
    return [*found.values(), *gone]


def _of_rule(
    name: str, old: RulePlan | None, new: RulePlan, before: Matcher, after: Matcher, found: dict[str, Change]
) -> Change:
    if old is None:
        return Change(name, "new")
    if semantic_hash(old.rule) != semantic_hash(new.rule):
        return Change(name, "changed", "it matches other things")
    for read in read_rules(new.rule):
        if found[read].fate not in ("unchanged", "metadata"):
            return Change(name, "changed", f"it reads the alerts of `{_spaced(read)}`, which changed")
    if old.automaton != new.automaton:
        return Change(name, "changed", "it is run in another way")
    for kind in new.watched:
        why = _other_events(kind, old, new, before, after)
        if why is not None:
            return Change(name, "changed", why)
    if _meaning(old.rule) != _meaning(new.rule) or (old.late_ms, old.grace_ms) != (new.late_ms, new.grace_ms):
        return Change(name, "metadata")
    return Change(name, "unchanged")


def _other_events(kind: str, old: RulePlan, new: RulePlan, before: Matcher, after: Matcher) -> str | None:
    """Why kept events of a kind cannot serve the new set, if they cannot."""
    was, now = before.plan.events[kind], after.plan.events[kind]
    for key in new.key_fields:
        if (key in was.fields) != (key in now.fields):
            return f"`{_spaced(was.name)}` declares its key `{key}` anew"
    struct = after.decoder.types.get(kind)
    if struct is None:
        return None
    kept = set(before.decoder.types[kind].__struct_fields__)
    for name in now.fields:
        place = attribute(name)
        if now.fields[name].optional or place not in struct.__struct_fields__:
            continue
        if place not in kept or was.fields[name].optional or was.fields[name].type != now.fields[name].type:
            return f"`{_spaced(was.name)}` has a new field `{name}` that may not be missing"
    return None


def same_fields(was: m.EventType, now: m.EventType) -> frozenset[str]:
    """The declared fields that mean the same in two declarations of an event."""
    return frozenset(
        name
        for name, field in now.fields.items()
        if name in was.fields and was.fields[name].type == field.type
    )


def _meaning(rule: m.Rule) -> bytes:
    """All of a rule but the place where it stands."""
    return blake2b(msgspec.json.encode(_plain(rule)), digest_size=16).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = {f: _plain(getattr(value, f)) for f in value.__struct_fields__ if f not in _PLACES}
        return {"is": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _spaced(name: str) -> str:
    return name.replace("_", " ")
