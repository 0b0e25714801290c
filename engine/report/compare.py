"""Two rule sets on the same events: which alerts appear, vanish or change.

Both matchers take every event at the same position, so that events without an id get the same one on both
sides. Alerts are held as they stand at the end, paired by rule, key and the event that completed them, else
by a shared event (as LANGUAGE.md section 4 item 10 pairs matches), else by what they share on the same device
where a rule's BY has changed. Wording is not compared: titles and texts change without a change of meaning.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from dsl import model as m
from engine.alerting.identity import semantic_hash
from engine.alerts import Alert, Change, Plain

MAX_HELD = 20_000
"""Alerts of one rule and rule set that are held; of a rule with more, only the numbers are compared."""
MAX_IDS = 8
"""Events that a change of evidence names."""
What = Literal["appears", "vanishes", "changes"]


class Side(msgspec.Struct, frozen=True, gc=False):
    """An alert as one of the rule sets leaves it, with what is compared.

    ``completed``: the event, or for a silence the deadline, that completed it.
    """

    id: str
    rule: str
    device: str
    key: tuple[tuple[str, Plain], ...]
    time: str
    status: str
    severity: str
    risk: float | None
    confidence: str
    title: str
    completed: tuple[str, str]
    evidence: tuple[tuple[str, str, str], ...]
    count: int
    """Events that stand for it, those included that the alert does not list."""

    @property
    def events(self) -> set[tuple[str, str]]:
        """Kind and id of every event that it shows."""
        return {(kind, event_id) for _, kind, event_id in self.evidence}


class Difference(msgspec.Struct, frozen=True):
    """One alert that is not the same. ``before`` is missing where it appears, ``after`` where it vanishes."""

    what: What
    rule: str
    before: Side | None
    after: Side | None
    changes: list[Change]

    @property
    def side(self) -> Side:
        """The alert as it is now, or was."""
        found = self.after or self.before
        assert found is not None
        return found


class RuleDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one rule. ``was``: its name before, where it was renamed; empty where it is new.

    ``before`` and ``after`` count alerts, closed ones included; ``counted_only``: there were more than
    :data:`MAX_HELD`, so that single alerts were not compared.
    """

    rule: str
    was: str
    removed: bool
    before: int
    after: int
    appears: int = 0
    vanishes: int = 0
    changes: int = 0
    counted_only: bool = False

    @property
    def same(self) -> bool:
        """Whether it raised the same alerts."""
        return not (self.appears or self.vanishes or self.changes or self.before != self.after)


class Comparison(msgspec.Struct, frozen=True):
    """The differences in the order of time, and the numbers of every rule of either set."""

    differences: list[Difference]
    rules: list[RuleDifference]

    @property
    def same(self) -> bool:
        """Whether no difference was found, and everything was compared."""
        return all(rule.same and not rule.counted_only for rule in self.rules)


class Held:
    """The alerts of one rule set, as they stand."""

    def __init__(self, most: int = MAX_HELD) -> None:
        self._most = most
        self._alerts: dict[str, dict[str, Side]] = {}
        self._ids: dict[str, set[str]] = {}

    def take(self, alert: Alert) -> None:
        """A create, an update or a close."""
        ids = self._ids.setdefault(alert.rule.name, set())
        ids.add(alert.id)
        held = self._alerts.setdefault(alert.rule.name, {})
        if len(ids) > self._most:
            held.clear()
            return
        held[alert.id] = side(alert)

    def count(self, rule: str) -> int:
        """Alerts of a rule."""
        return len(self._ids.get(rule, ()))

    def all_of(self, rule: str) -> list[Side] | None:
        """The alerts of a rule; None if there were too many to hold."""
        return None if self.count(rule) > self._most else list(self._alerts.get(rule, {}).values())


def side(alert: Alert) -> Side:
    """What of an alert is compared."""
    last = alert.steps[-1] if alert.steps else None
    done = last is not None and last.time == alert.time
    return Side(
        id=alert.id,
        rule=alert.rule.name,
        device=alert.device,
        key=tuple(sorted(alert.key.items())),
        time=alert.time,
        status=alert.status,
        severity=alert.severity,
        risk=alert.risk,
        confidence=alert.confidence.level,
        title=alert.title,
        completed=(last.kind, last.event_id) if done and last is not None else ("", alert.time),
        evidence=tuple((step.name, step.kind, step.event_id) for step in alert.steps),
        count=_count(alert),
    )


def _count(alert: Alert) -> int:
    counted = {step.name: step.count for step in alert.steps if step.count is not None}
    return sum(counted.values()) + sum(step.name not in counted for step in alert.steps)


def compare(before: m.RuleSet, after: m.RuleSet, old: Held, new: Held) -> Comparison:
    """Compare what two rule sets said.

    Args:
        before: the rule set that is compared against.
        after: the one that is looked at.
        old: the alerts of ``before``.
        new: those of ``after``.
    """
    renamed = renames(before, after)
    pairs: list[tuple[str, str]] = [(renamed.get(name, name), name) for name in after.rules]
    known = {was for was, _ in pairs}
    pairs += [(name, "") for name in before.rules if name not in known]
    differences: list[Difference] = []
    rules: list[RuleDifference] = []
    for was, name in sorted(pairs, key=lambda pair: pair[1] or pair[0]):
        found, numbers = _of_rule(was if was in before.rules else "", name, old, new)
        differences += found
        rules.append(numbers)
    differences.sort(key=lambda d: (d.side.time, d.rule, d.side.device, d.side.id, d.what))
    return Comparison(differences, rules)


def renames(before: m.RuleSet, after: m.RuleSet) -> dict[str, str]:
    """New name to old name of rules that match the same under another name, where that is unambiguous."""
    gone = _by_meaning(before, after)
    come = _by_meaning(after, before)
    return {
        come[meaning][0]: gone[meaning][0]
        for meaning in come
        if len(come[meaning]) == len(gone.get(meaning, ())) == 1
    }


def _by_meaning(these: m.RuleSet, others: m.RuleSet) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, rule in these.rules.items():
        if name not in others.rules:
            found.setdefault(semantic_hash(msgspec.structs.replace(rule, name="")), []).append(name)
    return found


def _of_rule(was: str, name: str, old: Held, new: Held) -> tuple[list[Difference], RuleDifference]:
    shown = name or was
    befores = old.all_of(was) if was else []
    afters = new.all_of(name) if name else []
    counts: Counter[str] = Counter()
    found: list[Difference] = []
    if befores is not None and afters is not None:
        for one, other in paired(befores, afters):
            difference = _difference(shown, one, other)
            if difference is not None:
                found.append(difference)
                counts[difference.what] += 1
    return found, RuleDifference(
        rule=shown,
        was=was,
        removed=not name,
        before=old.count(was) if was else 0,
        after=new.count(name) if name else 0,
        counted_only=befores is None or afters is None,
        **counts,
    )


def _difference(rule: str, before: Side | None, after: Side | None) -> Difference | None:
    if before is None:
        return Difference("appears", rule, None, after, [])
    if after is None:
        return Difference("vanishes", rule, before, None, [])
    changes = list(_changes(before, after))
    return Difference("changes", rule, before, after, changes) if changes else None


# --- pairs


def paired(before: list[Side], after: list[Side]) -> Iterator[tuple[Side | None, Side | None]]:
    """Each alert once, with its like on the other side where it has one."""
    old = {alert.id: alert for alert in before}
    new = {alert.id: alert for alert in after}

    def match(name: Callable[[Side], object]) -> Iterator[tuple[Side, Side]]:
        waiting: dict[object, list[Side]] = {}
        for alert in old.values():
            waiting.setdefault(name(alert), []).append(alert)
        for alert in list(new.values()):
            like = waiting.get(name(alert))
            if like:
                one = next((x for x in like if x.evidence == alert.evidence), like[0])
                like.remove(one)
                del old[one.id], new[alert.id]
                yield one, alert

    yield from match(lambda alert: (alert.key, alert.completed))
    yield from _sharing(old, new, lambda alert: alert.key)
    # BY may have changed: then the key is what has changed.
    yield from match(lambda alert: (alert.device, alert.completed))
    yield from _sharing(old, new, lambda alert: alert.device)
    yield from ((alert, None) for alert in old.values())
    yield from ((None, alert) for alert in new.values())


def _sharing(
    old: dict[str, Side], new: dict[str, Side], name: Callable[[Side], object]
) -> Iterator[tuple[Side, Side]]:
    """Pairs that share an event of their evidence, the latest first."""
    waiting: dict[object, deque[Side]] = {}
    for alert in sorted(old.values(), key=_latest, reverse=True):
        for event in alert.events:
            waiting.setdefault((name(alert), event), deque()).append(alert)
    for alert in sorted(new.values(), key=_latest, reverse=True):
        likes: list[Side] = []
        for event in alert.events:
            sharing = waiting.get((name(alert), event))
            while sharing and sharing[0].id not in old:
                sharing.popleft()
            if sharing:
                likes.append(sharing[0])
        if likes:
            one = max(likes, key=_latest)
            del old[one.id], new[alert.id]
            yield one, alert


def _latest(alert: Side) -> tuple[str, str]:
    return alert.time, alert.id


def _changes(before: Side, after: Side) -> Iterator[Change]:
    fields: tuple[tuple[str, Plain, Plain], ...] = (
        ("status", before.status, after.status),
        ("severity", before.severity, after.severity),
        ("time", before.time, after.time),
        ("key", _key(before), _key(after)),
        ("risk", before.risk, after.risk),
        ("confidence", before.confidence, after.confidence),
    )
    for what, old, new in fields:
        if old != new:
            yield Change(what, old, new)
    if before.count != after.count:
        yield Change("events", before.count, after.count)
    # A step may have another name now: what counts is which events stand for the alert.
    if [event for _, *event in before.evidence] != [event for _, *event in after.evidence]:
        yield Change("evidence", _events(before), _events(after))


def _key(alert: Side) -> str:
    return ", ".join(f"{name} {value}" for name, value in alert.key)


def _events(alert: Side) -> str:
    ids = [event_id for _, _, event_id in alert.evidence]
    more = f" and {len(ids) - MAX_IDS} more" if len(ids) > MAX_IDS else ""
    return ", ".join(ids[:MAX_IDS]) + more
