"""The old version of changed rules, until the runs that had begun are over.

It goes on as if, from the reload on, no event fitted its first step. Where the first step is several
events (AT LEAST, ALL OF, ANY), events go on counting, and what is said is what holds an event from before.

Alerts from before keep their ids and go on being revised. Alerts that it first says now have ids of their
own, so that they are never taken for one of the new version, which may complete at the same event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.alerting.identity import semantic_hash
from engine.alerts import Alert
from engine.automaton import Match
from engine.chains import chains_of
from engine.elements import flat
from engine.events import POSITION_SHIFT, BadEvent
from engine.reload.bundle import Bundle
from engine.reload.prepare import make_matcher
from engine.reload.since import Begin, look_back
from engine.why.probe import rules_with_read

TRANSPORT_MS: Final = 120_000
"""How far an event's time may lie ahead of its message."""

_NOTHING: Final = e.InSet(e.Field(None, "device", e.Type(e.STRING), False), (), False)
"""No event fits it. It asks all the same, so that nothing about the rule changes but that: the fields it
names are decoded, and what it kept is told apart from what every event of a kind fits."""


class DrainRecord(msgspec.Struct, frozen=True):
    """A drain as data, but for its matcher's state. ``name``: unlike that of any drain before."""

    name: str
    bundle: Bundle
    rules: tuple[str, ...]
    sequence: int
    at_ms: int
    born: tuple[str, ...]
    silent: tuple[str, ...]
    since: dict[str, Begin]


class Drain:
    """Old versions of some rules of one set.

    Args:
        name: under which its state is stored.
        bundle: the old set.
        ruleset: the same, loaded.
        rules: which drain.
        sequence: the last message that they saw whole.
        at_ms: when it was stored.
        since: for rules that began later than their matcher, when that was.
    """

    def __init__(
        self,
        name: str,
        bundle: Bundle,
        ruleset: m.RuleSet,
        rules: Collection[str],
        sequence: int,
        at_ms: int,
        since: Mapping[str, Begin],
    ) -> None:
        self.name = name
        self.bundle = bundle
        self.rules = tuple(rules)
        self.sequence = sequence
        self.at_ms = at_ms
        needed: dict[str, m.Rule] = {}
        for rule in self.rules:
            needed |= rules_with_read(ruleset, rule)
        blocked = {name: without_starts(ruleset.rules[name]) for name in self.rules}
        alone = {name: blocked.get(name) or rule for name, rule in needed.items()}
        self.matcher = make_matcher(msgspec.structs.replace(ruleset, rules=alone))
        self._grouped = frozenset(name for name, rule in blocked.items() if rule is None)
        self._hashes = {name: semantic_hash(ruleset.rules[name]) for name in self.rules}
        self._since = {name: time for name, time in since.items() if name in self.rules}
        self._born: dict[str, None] = {}
        self._silent: dict[str, None] = {}
        plans = [plan for plan in self.matcher.plan.rules if plan.rule.name in self.rules]
        self.until_ms = at_ms + max(p.table.horizon_ms + p.grace_ms for p in plans) + TRANSPORT_MS
        """The last runs are over by then."""
        self.at_the_latest_ms = self.until_ms + max(plan.late_ms for plan in plans)

    @property
    def transferred(self) -> tuple[str, ...]:
        """The rules whose state it needs: its own and those whose alerts they read."""
        return self.matcher.rules

    def look_back(self) -> None:
        """Have its gaps say since when its rules know anything. To be called once its state is there."""
        look_back(self.matcher, self._since)

    def over(self, now_ms: int) -> bool:
        """Whether nothing that had begun can complete any more. A silence that waits for a slow clock may
        still, but no longer than LATE.
        """
        if now_ms < self.until_ms:
            return False
        waiting = any(any(runtime.waiting) for runtime in self.matcher.runtimes)
        return not waiting or now_ms >= self.at_the_latest_ms

    def take(
        self, payload: bytes, content_type: str | None, sequence: int, received_ms: int, latest_ms: int
    ) -> list[Alert]:
        """A message as the service takes it; the alerts of the old versions. Bad events are passed over: the
        version in force has said so.
        """
        matcher = self.matcher
        found = self._let_through(matcher.advance(received_ms))
        for index, item in enumerate(matcher.decoder.decode_payload(payload, content_type)):
            if item is None or isinstance(item, BadEvent) or index >= 1 << POSITION_SHIFT:
                continue
            if item.time <= latest_ms:  # type: ignore[operator]  # the decoder has made it an int
                found += self._let_through(matcher.feed(item, sequence << POSITION_SHIFT | index))
        return found

    def advance(self, now_ms: int) -> list[Alert]:
        """The wall clock shows a time."""
        return self._let_through(self.matcher.advance(now_ms))

    def record(self) -> DrainRecord:
        """As data."""
        return DrainRecord(
            self.name,
            self.bundle,
            self.rules,
            self.sequence,
            self.at_ms,
            tuple(self._born),
            tuple(self._silent),
            self._since,
        )

    def resume(self, record: DrainRecord) -> None:
        """Go on from a record."""
        self._born = dict.fromkeys(record.born)
        self._silent = dict.fromkeys(record.silent)

    def _let_through(self, alerts: Iterable[Alert]) -> list[Alert]:
        found: list[Alert] = []
        for alert in alerts:
            name = alert.rule.name
            if name not in self.rules or alert.id in self._silent:
                continue
            if alert.activity == "create":
                if name in self._grouped and not self._began_before(alert):
                    self._silent[alert.id] = None
                    continue
                self._born[alert.id] = None
            found.append(self._as_old(alert))
        return found

    def _as_old(self, alert: Alert) -> Alert:
        rule = msgspec.structs.replace(alert.rule, hash=self._hashes[alert.rule.name])
        if alert.id not in self._born:
            return msgspec.structs.replace(alert, rule=rule)
        born = f"drained|{rule.hash}|{self.sequence}|{alert.id}"
        id_ = blake2b(born.encode(), digest_size=12).hexdigest()
        return msgspec.structs.replace(alert, rule=rule, id=id_)

    def _began_before(self, alert: Alert) -> bool:
        """Whether the first step of an alert that was just said holds an event from before the reload."""
        runtime = next(r for r in self.matcher.runtimes if r.plan.rule.name == alert.rule.name)
        state = runtime.devices.get("" if runtime.plan.fleet else alert.device)
        said = [] if state is None else [p for p in state.published if p.id == alert.id]
        return any(self._holds_old(published.match) for published in said)

    def _holds_old(self, match: Match) -> bool:
        return any(kept.position >> POSITION_SHIFT <= self.sequence for kept in flat(match.events[:1]))


def without_starts(rule: m.Rule) -> m.Rule | None:
    """The rule, but no event fits its first step; None where that step is made of several events.

    Its sources, steps and bits are those of the rule, so that the state of the rule serves it.
    """
    chains = chains_of(rule.pattern)
    firsts = [chain.steps[0] for chain in chains]
    if any(first.what is not None for first in firsts):
        return None
    starts = {id(choice.source) for first in firsts for choice in first.choices}
    return msgspec.structs.replace(rule, pattern=_blocked(rule.pattern, starts))


def _blocked(part: Any, starts: set[int]) -> Any:
    """A part of a pattern with these sources fitting nothing."""
    if isinstance(part, m.Source):
        if id(part) not in starts:
            return part
        members = tuple(
            msgspec.structs.replace(member, condition=e.all_of((member.condition, _NOTHING)))
            for member in part.members
        )
        return msgspec.structs.replace(part, members=members)
    if isinstance(part, tuple):
        return tuple(_blocked(item, starts) for item in part)
    if isinstance(part, msgspec.Struct):
        changed = {
            name: new
            for name in part.__struct_fields__
            if (new := _blocked(value := getattr(part, name), starts)) is not value
        }
        return msgspec.structs.replace(part, **changed) if changed else part
    return part
