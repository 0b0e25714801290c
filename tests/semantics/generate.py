"""Rules and events for the property tests, aimed at edges.

Rules are text, built along the grammar from few kinds, few fields and few values, so that steps,
guards and keys overlap; bounds are a few milliseconds, and so are the distances between events, so
that ties, exact bounds and bounds missed by one come up all the time.

Everything is drawn from a ``random.Random``. Hypothesis gives one whose every draw it controls, so
that a failing case shrinks; a seeded one gives many more cases a second.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

import msgspec
from hypothesis import strategies as st

import dsl
from dsl import model as m

DECLARATIONS = """
EVENT alpha { app: string? x: int? }
EVENT beta { app: string? x: int? y: bool? }
EVENT gamma { x: int? y: bool? }
SIGNAL either = alpha [x == 1] OR beta
SIGNAL loud = beta [x >= 1] OR gamma [NOT x == 2]
"""
"""Gamma lacks ``app``: under BY device, app it reaches every run of its device."""

FIELDS = {
    "alpha": ("app", "x"),
    "beta": ("app", "x", "y"),
    "gamma": ("x", "y"),
    "either": ("app", "x"),
    "loud": ("x", "y"),
}
KEYED = ("alpha", "beta", "either")
"""Sources whose every member declares ``app``, so that they may begin a rule with that key."""

Events = list[tuple[dict[str, Any], int]]


class Case(msgspec.Struct, frozen=True):
    """A rule set with the one rule ``r``, and events with their positions, in no special order."""

    text: str
    events: Events

    @property
    def ruleset(self) -> m.RuleSet:
        return dsl.load_text(self.text)

    def in_order(self) -> Events:
        return sorted(self.events, key=lambda pair: (pair[0]["time"], pair[1]))


Aliases = dict[str, tuple[str, ...]]


class RuleWriter:
    """Writes one rule, drawing every choice.

    ``aliases`` are the step names completed so far with the fields that may be read of each;
    ``several`` are those of them that are steps of several events. With ``rest`` false the rule has
    chains, groups, ONE OF, WITHOUT and UNLESS only.
    """

    def __init__(self, random: Random, rest: bool = True) -> None:
        self._random = random
        self._keyed = random.randrange(2) == 1
        self._names = 0
        self.aliases: Aliases = {}
        self.several: set[str] = set()
        self.plain = random.randrange(5) == 0
        """A fifth of the rules has no filters and guards: what compiles to the leanest automaton."""
        self.rest = rest and random.randrange(5) >= 2
        """Three fifths of the rules may have absence, levels and functions."""

    def _chance(self, of: int) -> bool:
        """True once in about ``of`` draws; shrinks to False."""
        return self._random.randrange(of) == of - 1

    def _pick(self, *options: str) -> str:
        return self._random.choice(options)

    def _ms(self, low: int = 2, high: int = 10) -> str:
        return f"{self._random.randint(low, high)}ms"

    # --- sources and filters

    def source(self, first: bool = False, guard: bool = False) -> tuple[str, tuple[str, ...]]:
        """An event or signal with or without a filter, and the fields an alias of it may show."""
        kinds = KEYED if first and self._keyed else tuple(FIELDS)
        kind = self._pick(*kinds)
        fields = FIELDS[kind]
        if self.plain or not self._chance(2 if guard else 3):
            return kind, fields
        return f"{kind} [{self._filter(kind)}]", fields

    def _filter(self, kind: str) -> str:
        parts = [self._term(kind) for _ in range(2 if self._chance(5) else 1)]
        return self._pick(" AND ", " OR ").join(parts)

    def _term(self, kind: str) -> str:
        # A term that some member of a union can never satisfy is an error, so unions ask about x alone.
        readable = [(a, f) for a, fields in self.aliases.items() for f in fields]
        shape = self._random.randint(0, 11 if self.rest else 9)
        value = self._pick("0", "1", "2")
        if shape <= 4 and readable:
            alias, field = self._random.choice(readable)
            if alias in self.several:
                return self._of_several(kind, alias, field)
            return self._cross(kind, alias, field)
        if shape >= 10:
            return self._function(kind, value)
        if kind in ("alpha", "beta") and shape == 5:
            return self._pick('app == "p"', 'app != "p"', "app EXISTS", 'NOT app LIKE "p*"')
        if kind in ("beta", "gamma") and shape == 6:
            return self._pick("y", "NOT y", "y MISSING")
        return self._pick(
            f"x == {value}",
            f"x != {value}",
            f"NOT x == {value}",
            f"x >= {value}",
            "x MISSING",
            "x EXISTS",
            "x IN [0, 2]",
            "x NOT IN [0, 2]",
            f"x + 1 == {value}",
            f"2 / x >= {value}",
        )

    def _cross(self, kind: str, alias: str, field: str) -> str:
        """A term about the event under test and the event of an earlier step."""
        if field not in FIELDS[kind]:
            return f"{alias}.{field} EXISTS"
        if field == "x":
            return self._pick(
                f"x == {alias}.x",
                f"x != {alias}.x",
                f"x > {alias}.x",
                f"x == {alias}.x + 1",
                f"agrees(x, {alias}.x)",
                f"NOT agrees(x, {alias}.x)",
                f"time - {alias}.time <= {self._ms()}",
            )
        other = f"{alias}.{field}"
        return self._pick(f"{field} == {other}", f"{field} != {other}", f"agrees({field}, {other})")

    def _of_several(self, kind: str, alias: str, field: str) -> str:
        """A term about the event under test and a step of several events."""
        count = self._random.randint(1, 3)
        if field not in FIELDS[kind] or self._chance(4):
            return self._pick(f"{alias}.count == {count}", f"{alias}.count >= {count}")
        end = self._pick("first", "last")
        return self._pick(
            f"{field} IN {alias}.{field}",
            f"{field} NOT IN {alias}.{field}",
            f"{field} == {alias}.{end}.{field}",
            f"{field} != {alias}.{end}.{field}",
            f"agrees({field}, {alias}.{end}.{field})",
        )

    def _function(self, kind: str, value: str) -> str:
        """A term with a function."""
        if kind in ("alpha", "beta") and self._chance(2):
            return self._pick('upper(app) == "P"', 'lower(app) != "p"', "len(app) == 1")
        return self._pick(
            f"max(x, 1) == {value}",
            f"min(x, 1) == {value}",
            f"abs(x - 1) == {value}",
            f"round(x / 2) == {value}",
            f"choose(x == 1, 2, x) == {value}",
            f"choose(x MISSING, 1, 0) == {value}",
        )

    # --- patterns

    def pattern(self, steps: int, depth: int, first: bool, bounded: bool, place: str = "group") -> str:
        """A chain. ``first``: it begins the rule; ``bounded``: something around it bounds it;
        ``place``: what it stands in, which decides where NO may stand.
        """
        whole = not bounded and (steps > 1 or (self.rest and self._chance(2))) and not self._chance(4)
        gaps = not bounded and not whole
        parts: list[str] = []
        if place == "rule" and self.rest and self._chance(8):
            parts.append(f"{self._absence()} THEN")
        ends_in_silence = place in ("rule", "group", "one of") and self.rest and self._chance(6)
        for index in range(steps):
            if index:
                parts.append(self._silence(place) + self._gap(gaps))
            inner_bounded = bounded or whole or index > 0
            inner_place = place
            if place == "one of" and (ends_in_silence or index < steps - 1):
                inner_place = "together"  # nothing inside a branch ends in NO but the branch itself
            parts.append(self._step(depth, first and index == 0, index > 0, inner_bounded, inner_place))
        if ends_in_silence:
            parts.append(f"THEN {self._absence()}")
        if whole or (steps > 1 and self._chance(6)):
            parts.append(f"WITHIN {self._ms(4, 14)}")
        return " ".join(parts)

    def _absence(self) -> str:
        return f"NO {self.source(guard=True)[0]} FOR {self._ms(1, 5)}"

    def _silence(self, place: str) -> str:
        """Seldom, an absence between two steps. Inside ONE OF it may only end a branch."""
        if place in ("rule", "group") and self.rest and self._chance(8):
            return f"THEN {self._absence()} "
        return ""

    def _gap(self, upper: bool) -> str:
        low = self._random.randint(1, 3)
        if upper:
            return self._pick(f"THEN WITHIN {self._ms()}", f"THEN BETWEEN {low}ms AND {low + 3}ms")
        shape = self._random.randint(0, 7)
        if shape == 5:
            return f"THEN WITHIN {self._ms(1, 5)}"
        if shape == 6:
            return f"THEN AFTER {low}ms"
        if shape == 7:
            return f"THEN BETWEEN {low}ms AND {low + 3}ms"
        return "THEN"

    def _step(self, depth: int, first: bool, guardable: bool, bounded: bool, place: str) -> str:
        before = dict(self.aliases)
        node, fields, several = self._node(depth, first, bounded, place)
        guards = ""
        if not self.plain and self._chance(4):
            after = self.aliases
            self.aliases = before  # a guard reads what was complete before its step
            if self.rest and self._chance(3):
                guards = f" WITHOUT {self.source(guard=True)[0]} FOR {self._ms(1, 5)}"
            elif guardable:
                guards = f" WITHOUT {self.source(guard=True)[0]}"
            self.aliases = after
        if self.plain or not self._chance(2):
            return node + guards
        self._names += 1
        alias = f"s{self._names}"
        self.aliases[alias] = fields
        if several:
            self.several.add(alias)
        return f"{node}{guards} AS {alias}"

    def _node(self, depth: int, first: bool, bounded: bool, place: str) -> tuple[str, tuple[str, ...], bool]:
        """A step, the fields that may be read of it, and whether it is one of several events."""
        if self.rest and self._chance(4):
            return (*self._level(first), True)
        shape = self._random.randint(0, 9) if depth else 0
        if shape <= 6:
            return (*self.source(first), False)
        # Of a group AS names the last event; x is what every kind has.
        if shape == 7:
            inner = "group" if place in ("rule", "group") else place
            steps = self._random.randint(1, 2)
            pattern = self.pattern(steps, depth - 1, first, bounded, inner)
            return f"({pattern})", shown(pattern), False
        if self.rest and bounded and self._chance(2):
            branches = self._branches(depth, first, bounded, "together")
            needed = self._random.randint(1, len(branches))
            head = self._pick("ALL OF", f"ANY {needed} OF")
            return f"{head} ({', '.join(branches)})", ("x",), True
        alone = self.rest and not first and place != "together" and self._chance(5)
        absence = [self._absence()] if alone else []
        branches = absence + self._branches(depth, first, bounded, place if place == "together" else "one of")
        fields = ("x",) if any(shown(branch) for branch in branches) else ()
        return f"ONE OF ({', '.join(branches)})", fields, False

    def _branches(self, depth: int, first: bool, bounded: bool, place: str) -> list[str]:
        """Two or three branches, which do not see each other's names."""
        branches: list[str] = []
        outer = dict(self.aliases)
        found = dict(outer)
        for _ in range(self._random.randint(2, 3)):
            self.aliases = dict(outer)
            steps = self._random.choice([1, 1, 2])
            branches.append(self.pattern(steps, depth - 1, first, bounded, place))
            found.update(self.aliases)
        self.aliases = found
        return branches

    def _level(self, first: bool) -> tuple[str, tuple[str, ...]]:
        """AT LEAST, of amounts that the few events reach now and then."""
        source, fields = self.source(first)
        window = self._ms(1, 6)
        shape = self._random.randint(0, 4)
        if shape == 3:
            amount, field = self._random.randint(1, 3), self._pick(*(f for f in fields if f != "y"))
            return f"AT LEAST {amount} DISTINCT {field} OF {source} IN {window}", fields
        if shape == 4:
            return f"AT LEAST {self._random.randint(1, 4)} SUM x OF {source} IN {window}", fields
        return f"AT LEAST {self._random.choice([2, 2, 3, 1])} {source} IN {window}", fields

    def rule(self) -> str:
        by = "BY device, app " if self._keyed else ""
        steps = self._random.choice([2, 2, 2, 3, 3, 4] if not self.rest else [1, 1, 2, 2, 2, 3])
        depth = 2 if self._chance(2 if self.rest else 3) else 0
        lines = [f"  {by}WHEN {self.pattern(steps, depth, True, False, 'rule')}"]
        if not self.plain and self._chance(3):
            window = f" WITHIN {self._ms(1, 6)} BEFORE" if self._chance(2) else ""
            lines.append(f"  UNLESS {self.source(guard=True)[0]}{window}")
        select = self._random.choice(["", "", "SELECT FIRST", "SELECT EACH"])
        if select:
            lines.append(f"  {select}")
        return "RULE r {\n" + "\n".join(lines) + "\n}"


def shown(pattern: str) -> tuple[str, ...]:
    """The fields that may be read of the last event of a pattern; none if it ends with NO."""
    *_, last = re.split(r" THEN (?![^(]*\))", re.sub(r" WITHIN \w+$", "", pattern))
    return () if last.startswith("NO ") else ("x",)


def rule_text(random: Random, rest: bool = True) -> str:
    """The text of a rule set with one rule, ``r``. Half the time some clock moves on with the events,
    so that silences end, and are proved wrong, long before the end of input.
    """
    declarations = DECLARATIONS
    if random.randrange(2):
        for kind in ("alpha", "beta", "gamma"):
            grace = f"GRACE {random.choice([0, 2, 5])}ms "
            declarations = declarations.replace(f"EVENT {kind} ", f"EVENT {kind} {grace}")
    return declarations + RuleWriter(random, rest).rule() + "\n"


def event_list(random: Random, most: int = 12) -> Events:
    """Events with positions that say nothing about their times: only where two tie do they matter."""
    count = random.randint(2, most)
    positions = list(range(1, count + 1))
    random.shuffle(positions)
    several_devices = random.randrange(5) == 4
    intervals = random.randrange(5) == 4
    distances = random.choice([(1, 0, 2, 3, 1, 5), (1, 0, 1, 2)])
    events: Events = []
    time = 100
    for index, position in enumerate(positions):
        time += random.choice(distances)
        kind = random.choice(["alpha", "beta", "gamma"])
        wire: dict[str, Any] = {"kind": kind, "device": "d1", "time": time, "id": f"e{index}"}
        if several_devices and random.randrange(2):
            wire["device"] = "d2"
        if intervals and random.randrange(2):
            wire["start"] = time - random.randint(0, 4)
            wire["quality"] = "interval"
        values: dict[str, Any] = {
            "x": random.choice([1, 1, 2, 0, None]),
            "app": random.choice(["p", "p", "p", "q", None]) if kind != "gamma" else None,
            "y": random.choice([True, False, None]) if kind != "alpha" else None,
        }
        wire |= {name: value for name, value in values.items() if value is not None}
        events.append((wire, position))
    return events


def random_case(random: Random, most: int = 12, rest: bool = True) -> Case:
    """A rule and events; ``rest`` as :class:`RuleWriter` has it."""
    return Case(rule_text(random, rest), event_list(random, most))


def cases(most: int = 9, rest: bool = True) -> st.SearchStrategy[Case]:
    """:func:`random_case` under Hypothesis."""
    return st.randoms(use_true_random=False).map(lambda random: random_case(random, most, rest))
