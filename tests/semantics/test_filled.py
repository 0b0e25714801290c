"""Rules that were filled with the past beside those in force, and then came into force with them: everything
goes on as if all of them had been there from the beginning, but for what nobody has heard of the new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import pytest
from generate import DECLARATIONS, Case, RuleWriter, event_list
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import Input, Placed, tell, with_clocks

import dsl
import engine
from dsl import model as m
from engine.events import POSITION_SHIFT
from engine.matcher import Matcher
from engine.reload.bundle import bundle_of
from engine.reload.in_force import InForce
from engine.reload.prepare import Prepared, make_matcher
from engine.reload.side import Side
from engine.state import parts
from engine.unsaid import unsay

SLICES = 2
FEWER = settings(max_examples=max(1, settings().max_examples // 10))
SEEDED = settings().max_examples // (4 * SLICES)

BASELINES = """
BASELINE usual = x OF beta BY device USING robust WARMUP 3
BASELINE apps = x OF alpha BY device, app USING robust WARMUP 2
"""
READS_ALL = """
RULE k9 { WHEN alpha [app == "z" AND x == 9] THEN beta [app == "z" AND x == 9 AND y] THEN gamma [x == 9 AND y]
WITHIN 1ms }
"""
"""Alerts show the fields that rules read; so those of kept rules look the same before and after."""
OF_BASELINES = (
    "RULE {} {{ WHEN beta [deviation(usual) >= 1] THEN gamma WITHIN 9ms }}",
    "RULE {} {{ BY device, app WHEN alpha THEN alpha [deviation(apps) >= 1] WITHIN 9ms }}",
)
OF_ALERTS = (
    "RULE {} {{ WHEN ALERT {} THEN gamma [x EXISTS] WITHIN 9ms }}",
    "RULE {} {{ WHEN gamma THEN beta WITHOUT ALERT {} WITHIN 9ms SELECT FIRST }}",
    "RULE {} {{ WHEN ALERT {} AS s THEN NO gamma FOR 3ms }}",
)


def some_rules(random: Random, first: str, count: int, of_baselines: Sequence[str] = OF_BASELINES) -> str:
    """So many rules, named after a letter."""
    found = []
    for number in range(count):
        if random.randrange(6) == 0:
            found.append(random.choice(of_baselines).format(f"{first}{number}"))
            continue
        text = RuleWriter(random, rest=random.randrange(3) > 0).rule()
        text = text.replace("RULE r {", f"RULE {first}{number} {{", 1)
        if random.randrange(4) == 0:
            end = text.rindex("}")
            text = f"{text[:end]} SUPPRESS {random.randint(2, 20)}ms {text[end:]}"
        found.append(text)
    return "\n".join(found)


class Sets:
    """What is in force, and what follows. ``whole``: the new rules get to know all that the old ones know."""

    def __init__(self, random: Random, whole: bool) -> None:
        usual, apps = BASELINES.strip().splitlines()
        # One that only the new set has; of the other, more is known than a new rule would have learned.
        separate = not whole or random.randrange(2) == 0
        declared = f"{DECLARATIONS}{usual}\n"
        old = some_rules(random, "k", random.randint(1, 2), OF_BASELINES[:1] if separate else OF_BASELINES)
        new = some_rules(random, "n", random.randint(1, 2), OF_BASELINES if whole else OF_BASELINES[1:])
        if whole and random.randrange(3) == 0:
            new += "\n" + random.choice(OF_ALERTS).format("n9", random.choice(("k0", "n0")))
        if separate:
            new = f"{apps}\n{new}"
        else:
            declared += f"{apps}\n"
        self.alike = random.randrange(4) > 0
        if self.alike:
            old += READS_ALL
        self.old, self.new = dsl.load_text(declared + old), dsl.load_text(declared + old + "\n" + new)

    @property
    def runnable(self) -> bool:
        codes = {d.code for d in (*self.old.errors, *self.new.errors)}
        # Bounds that exclude each other, and what reads such a rule.
        assert codes <= {"TW409", "TW201"}, codes
        if codes:
            return False
        return not make_matcher(self.old).diagnostics and not make_matcher(self.new).diagnostics


def items_of(random: Random) -> list[Input]:
    """Events in an order of their own, and clocks. The first are older than all."""
    events = Case("", event_list(random, most=24)).in_order()
    if random.randrange(3):
        random.shuffle(events)
    return [*oldest(0), *with_clocks(random, events)]


def oldest(number: int) -> list[Placed]:
    """Events of another device before all others: so it is known since when is watched."""
    return [
        ({"kind": kind, "device": "other", "time": 1, "id": f"{kind}{number}"}, 0)
        for kind in ("alpha", "beta", "gamma")
    ]


def placed(items: Sequence[Input]) -> list[Input]:
    """Each event at the place where it comes in."""
    return [
        (item[0], number << POSITION_SHIFT) if isinstance(item, tuple) else item
        for number, item in enumerate(items, 1)
    ]


def prepared(ruleset: m.RuleSet) -> Prepared:
    return Prepared(bundle_of(ruleset), ruleset, make_matcher(ruleset), 0)


def unsaid(matcher: Matcher, rules: frozenset[str]) -> None:
    """Nobody has heard of some of its rules."""
    matcher.catch_up()
    others = [r for r in matcher.runtimes if r.plan.rule.name not in rules]
    kept = [(p, p.alert) for r in others for state in r.devices.values() for p in state.published]
    counts = [(state, dict(state.counts)) for r in others for state in r.devices.values() if state.counts]
    unsay(matcher)
    for published, alert in kept:
        published.alert = alert
    for state, count in counts:
        state.counts.update(count)


def of_rules(alerts: Sequence[engine.Alert], rules: frozenset[str], alike: bool = True) -> list[bytes]:
    """What some rules say, each for itself: between rules the order may be another. Where one set reads more
    than the other, without the fields that are shown.
    """
    if not alike:
        alerts = [_without_fields(alert) for alert in alerts]
    found = [(alert.rule.name, engine.encode(alert)) for alert in alerts if alert.rule.name in rules]
    return [text for _, text in sorted(found, key=lambda pair: pair[0])]


def essence(alerts: Sequence[engine.Alert], rules: frozenset[str]) -> list[bytes]:
    """The same, without what the engine knows of the time before: that a device has sent a kind at all, and
    that an event is older than one that came then.
    """
    bare = [msgspec.structs.replace(a, gaps=[], timing=engine.alerts.Timing("", False)) for a in alerts]
    return of_rules(bare, rules, alike=False)


def _without_fields(alert: engine.Alert) -> engine.Alert:
    steps = [msgspec.structs.replace(step, fields={}, summary="") for step in alert.steps]
    return msgspec.structs.replace(alert, reason="", steps=steps)


class Running:
    """A set in force; with ``filled`` the others come in after so many items."""

    def __init__(self, sets: Sets, random: Random) -> None:
        self.sets = sets
        self.random = random
        self.force = InForce.of(sets.old)
        self.side: Side | None = None
        self.told = 0

    def begin(self) -> None:
        self.following = prepared(self.sets.new)
        self.side = self.force.beside(self.following)

    def tell(self, item: Input) -> list[engine.Alert]:
        self.told += 1
        if self.side is not None:
            tell(self.side.matcher, item)
            self.side.took(self.told, 1, 0)
        return tell(self.force.matcher, item)

    def swap(self) -> None:
        assert self.side is not None
        self.side.matcher.catch_up()
        unsay(self.side.matcher)
        # It must leave everything as it is, or else nothing would be left if it failed.
        before = self.force.matcher.snapshot(), self.side.matcher.snapshot()
        old, side = self.force.matcher, self.side
        report = self.force.swap(self.following, self.told, 0, side)
        assert (old.snapshot(), side.matcher.snapshot()) == before
        assert {one.rule for one in report.rules if one.state == "filled"} == side.rules
        self.side = None
        how = self.random.randrange(3)
        if how == 1:
            self.force = InForce.restore(*self.force.snapshot())
        elif how == 2:
            record, cut = self.force.cut()
            known = _all_parts(cut)
            self.force = InForce.restore_parts(record, cut.shared, known.items())


def _all_parts(cut: parts.Cut) -> dict[str, bytes]:
    known: dict[str, bytes] = {}
    while found := cut.pack(100):
        known.update({key: part for key, part in found if part is not None})
    return known


def check(random: Random) -> int:
    """Both know the whole stream. Gives how many alerts the new rules had after they came in."""
    sets = Sets(random, whole=True)
    if not sets.runnable:
        return 0
    items = placed(items_of(random))
    swap = random.randint(1, len(items))
    running = Running(sets, random)
    running.begin()
    assert running.side is not None
    new, old = running.side.rules, frozenset(sets.old.rules)
    alone, all_ = make_matcher(sets.old), make_matcher(sets.new)
    alerts = 0
    for number, item in enumerate(items):
        if number == swap:
            running.swap()
            unsaid(all_, new)
        said, said_alone, said_all = running.tell(item), tell(alone, item), tell(all_, item)
        assert of_rules(said, old, sets.alike) == of_rules(said_alone, old, sets.alike), number
        if number >= swap:
            assert of_rules(said, new) == of_rules(said_all, new), number
            alerts += len(of_rules(said, new))
    if swap == len(items):
        running.swap()
        unsaid(all_, new)
    said, said_alone, said_all = running.force.matcher.close(), alone.close(), all_.close()
    assert of_rules(said, old, sets.alike) == of_rules(said_alone, old, sets.alike)
    assert of_rules(said, new) == of_rules(said_all, new)
    return alerts + len(of_rules(said, new))


def check_later(random: Random) -> int:
    """The new rules know only the end of what was before: from some item on."""
    sets = Sets(random, whole=False)
    if not sets.runnable:
        return 0
    items = items_of(random)
    begin = random.randrange(len(items))
    swap = random.randint(begin + 4, len(items) + 3)
    # They too are to know since when they watch.
    items[begin:begin] = oldest(1)
    items = placed(items)
    running = Running(sets, random)
    alone = make_matcher(sets.old)
    apart: Matcher | None = None
    new: frozenset[str] = frozenset()
    old = frozenset(sets.old.rules)
    alerts = 0
    for number, item in enumerate([*items, None]):
        if number == begin:
            running.begin()
            assert running.side is not None
            new = running.side.rules
            apart = running.force.beside(running.following).matcher
        if number == swap:
            assert apart is not None
            running.swap()
            unsaid(apart, new)
        if item is None:
            said, said_alone = running.force.matcher.close(), alone.close()
            said_apart = apart.close() if apart is not None else []
        else:
            said, said_alone = running.tell(item), tell(alone, item)
            said_apart = tell(apart, item) if apart is not None else []
        assert of_rules(said, old, sets.alike) == of_rules(said_alone, old, sets.alike), number
        if number >= swap:
            assert essence(said, new) == essence(said_apart, new), number
            alerts += len(of_rules(said, new))
    return alerts


@FEWER
@given(st.randoms(use_true_random=False))
def test_generated_cases(random: Random) -> None:
    check(random)


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("how", [check, check_later])
def test_seeded_cases(how: Any, part: int) -> None:
    alerts = 0
    for number in range(SEEDED):
        seed = number * SLICES + part
        try:
            alerts += how(Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert SEEDED < 30 or alerts > SEEDED // 8
