"""The guards of a rule: which time each looked at for a match, and whether a late event is one.

UNLESS, WITHOUT and NO void a match. An alert says that they were looked for and not found, and a
closed one which of them was found after all.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgspec

from dsl import model as m
from engine.alerting.values import begin_ms
from engine.alerting.words import in_time, kind_in_words
from engine.alerts import Excluded, rfc3339
from engine.automaton import CrossTest, Match, RuleTable
from engine.chains import Absence, Chain, Gather, chains_of
from engine.elements import first_event
from engine.kept import Kept
from engine.plan import RulePlan
from engine.plan_fields import sources_in


class Looks(Enum):
    """Where a guard looks: around the whole match, since the step before, before a step, in the wait of
    a NO, or among the events of an ALL OF or ANY.
    """

    AROUND = 1
    SINCE = 2
    BEFORE = 3
    WAIT = 4
    AMONG = 5


class Guard(msgspec.Struct, frozen=True):
    """One guard on one chain of a rule.

    Attributes:
        what: in the words of an alert: ``no app update``.
        window: likewise where it looks.
        kinds: of event that it may be, in words; ``raw_kinds`` as they are on the wire.
        looks, first, last: where it looks, for the steps from the one index to the other.
        duration_ms: how far back, or how long; 0 where only the steps bound it. ``length`` in words.
        bit: of its source in the masks of events.
        test: reads the steps of the match, or None.
    """

    what: str
    window: str
    kinds: tuple[str, ...]
    raw_kinds: tuple[str, ...]
    looks: Looks
    first: int
    last: int
    duration_ms: int
    bit: int
    test: CrossTest | None
    length: str

    def span(self, match: Match) -> tuple[int, int]:
        """The first and last millisecond in which one would have voided a match."""
        events = match.events
        if self.looks is Looks.AROUND:
            return begin_ms(match) - self.duration_ms, match.last.time
        if self.looks is Looks.SINCE:
            return events[self.first - 1].time, events[self.last].time
        at = events[self.first]
        if self.looks is Looks.BEFORE:
            first = first_event(at).time
            return first - self.duration_ms, first
        if self.looks is Looks.WAIT:
            return at.time - self.duration_ms, at.time
        return at.begin - self.duration_ms, at.time

    def is_met_by(self, kept: Kept, match: Match) -> bool:
        """Whether an event, which may belong to a match by its key, is this guard for it."""
        start, end = self.span(match)
        return (
            bool(kept.mask & self.bit)
            and start <= kept.time <= end
            and (self.test is None or self.test(kept, match.events))
        )


class Span(NamedTuple):
    """A guard, and the time it looked at for one match."""

    guard: Guard
    start: int
    end: int


def guards_of(plan: RulePlan) -> tuple[tuple[Guard, ...], ...]:
    """For each chain of a rule its guards: UNLESS first, then those of the steps in the order written."""
    rule = plan.rule
    chains = chains_of(rule.pattern)
    bits = {id(source): 1 << index for index, source in enumerate(sources_in(chains, rule))}
    return tuple(
        (*_unless(plan, number, bits), *_of_chain(plan, chain, number, bits))
        for number, chain in enumerate(chains)
    )


def excluded(spans: list[Span]) -> list[Excluded]:
    """What an alert says of guards that were not found."""
    if not spans:
        return []
    return [
        Excluded(guard.what, guard.window, list(guard.kinds), rfc3339(start), rfc3339(end))
        for guard, start, end in spans
    ]


def _unless(plan: RulePlan, number: int, bits: dict[int, int]) -> list[Guard]:
    found: list[Guard] = []
    for index, veto in enumerate(plan.rule.unless):
        window = "from the first event to the last"
        if veto.before_ms:
            window = f"from {in_time(veto.before_ms)} before the first event to the last"
        tests = plan.table.vetoes[index].tests
        test = tests[number] if tests else None
        bit = bits[id(veto.source)]
        found.append(_guard(veto.source, window, Looks.AROUND, 0, 0, veto.before_ms, bit, test))
    return found


def _of_chain(plan: RulePlan, chain: Chain, number: int, bits: dict[int, int]) -> list[Guard]:
    found: dict[tuple[object, ...], Guard] = {}
    for at, step in enumerate(chain.steps):
        for source, duration in step.lookbacks:
            bit = bits[id(source)]
            test = _test(plan, number, at, bit)
            found[at, id(source)] = _guard(
                source, _before(duration), Looks.BEFORE, at, at, duration, bit, test
            )
        if isinstance(step.what, Absence):
            source, duration = step.choices[0].source, step.what.duration_ms
            bit, window = bits[id(source)], f"for {in_time(duration)}"
            test = _test(plan, number, at, bit)
            found[at, id(source)] = _guard(source, window, Looks.WAIT, at, at, duration, bit, test)
        if isinstance(step.what, Gather):
            for source, duration in _inside(step.what):
                window = _before(duration) if duration else "among the events of the step"
                bit = bits[id(source)]
                # A test inside a branch reads the steps of that branch, which are not known here.
                found[at, id(source)] = _guard(source, window, Looks.AMONG, at, at, duration, bit, None)
        for source in step.guards if at else ():
            known = found.get((id(source),))
            if known is not None:
                # WITHOUT on a group stands at each of its steps: it is one guard.
                found[(id(source),)] = msgspec.structs.replace(known, last=at)
                continue
            bit = bits[id(source)]
            test = _test(plan, number, at, bit)
            window = "since the step before"
            found[(id(source),)] = _guard(source, window, Looks.SINCE, at, at, 0, bit, test)
    return list(found.values())


def _before(duration_ms: int) -> str:
    return f"in the {in_time(duration_ms)} before"


def _inside(gather: Gather) -> list[tuple[m.Source, int]]:
    """The guards inside the branches, with how far back they look."""
    found: list[tuple[m.Source, int]] = []
    for branch in gather.branches:
        for step in (step for line in branch for step in line.steps):
            found += [(source, 0) for source in step.guards]
            found += step.lookbacks
            if isinstance(step.what, Absence):
                found.append((step.choices[0].source, step.what.duration_ms))
            elif isinstance(step.what, Gather):
                found += _inside(step.what)
    return found


def _test(plan: RulePlan, chain: int, at: int, bit: int) -> CrossTest | None:
    """The test of the guard with a bit at a step: the table has it."""
    table = plan.table
    if isinstance(table, RuleTable):
        return dict(table.chains[chain][at].guards).get(bit)
    position = table.chains[chain].positions[at]
    sought = [*position.guards, *(sought for sought, _ in position.lookbacks)]
    if position.absence is not None:
        sought += position.choices
    return next((x.test for x in sought if x.bit == bit), None)


def _guard(
    source: m.Source,
    window: str,
    looks: Looks,
    first: int,
    last: int,
    duration_ms: int,
    bit: int,
    test: CrossTest | None,
) -> Guard:
    kinds = tuple(dict.fromkeys(member.kind for member in source.members))
    words = tuple(map(kind_in_words, kinds))
    what, length = f"no {source.text}", in_time(duration_ms)
    return Guard(what, window, words, kinds, looks, first, last, duration_ms, bit, test, length)
