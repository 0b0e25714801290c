"""Stories for rules that are reloaded under load, and what docs/explanation/reload.md says must come of them.

Each story has a host of its own, so what it may complete is plain: the model needs no automaton and shares
nothing with the engine. It is given the place of each event in the stream, and after which message each
reload took effect; all else follows from the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, Final

import msgspec

FOREVER: Final = 1 << 60
MOST_DRAINS: Final = 8
"""Of the document."""
SEVERITIES: Final = ("low", "medium", "high")
APPS: Final = ("mail", "chat", "maps")
RULES: Final = ("chain", "burst", "listed", "steady", "extra")


_BY_FIRST: Final = {"a": "chain", "e": "burst", "f": "listed", "c": "steady", "p": "extra"}
"""Which rule an event begins."""


class Settings(msgspec.Struct, frozen=True):
    """What of the set changes: the first five are patterns, or whether a rule is there."""

    limit: int = 3
    window: int = 60
    least: int = 2
    listed: int = 60
    extra: bool = False
    known: tuple[str, ...] = ("chat", "mail")
    severity: str = "low"
    steady: str = "medium"

    @property
    def text(self) -> str:
        """The rule file."""
        kinds = {
            "a": "x: int",
            "b": "",
            "c": "",
            "d": "",
            "e": "",
            "f": "",
            "g": "app: string",
            "p": "",
            "q": "",
        }
        events = "\n".join(
            f"EVENT {kind} GRACE 1s LATE 10m {{ host: string {fields} }}" for kind, fields in kinds.items()
        )
        extra = "RULE extra { BY device, host  WHEN p THEN q WITHIN 5m }" if self.extra else ""
        return f"""{events}
LIST known = [{", ".join(f'"{app}"' for app in self.known)}]
RULE chain {{ BY device, host  WHEN a [x > {self.limit}] AS s THEN b WITHIN {self.window}s
  SEVERITY {self.severity} }}
RULE burst {{ BY device, host  WHEN AT LEAST {self.least} e IN 5m AS es }}
RULE listed {{ BY device, host  WHEN f AS s THEN g [app IN LIST known] WITHIN {self.listed}s }}
RULE steady {{ BY device, host  WHEN c AS s THEN d WITHIN 5m  SEVERITY {self.steady} }}
{extra}
"""

    def pattern(self, rule: str) -> tuple[Any, ...] | None:
        """What of a rule decides what it matches; None: it is not there."""
        if rule == "extra" and not self.extra:
            return None
        found = {"chain": (self.limit, self.window), "burst": (self.least,), "listed": (self.listed,)}
        return found.get(rule, ())

    def severity_of(self, rule: str) -> str:
        """Of its alerts."""
        return {"chain": self.severity, "steady": self.steady}.get(rule, "medium")


def other(settings: Settings, random: Random) -> Settings:
    """The settings after one more change, at times after two."""
    for _ in range(random.choice([1, 1, 2])):
        name = random.choice(
            ["limit", "window", "least", "listed", "extra", "extra", "known", "known", "severity", "steady"]
        )
        values: Sequence[Any] = {
            "limit": (2, 3, 4),
            "window": (60, 90),
            "least": (2, 3),
            "listed": (60, 90),
            "extra": (False, True),
            "known": (("chat",), ("chat", "mail"), ("maps",)),
            "severity": SEVERITIES,
            "steady": SEVERITIES,
        }[name]
        was = getattr(settings, name)
        settings = msgspec.structs.replace(
            settings, **{name: random.choice([value for value in values if value != was])}
        )
    return settings


class Told(msgspec.Struct, frozen=True):
    """An event: when it comes (a number), what it says, and its time after the beginning."""

    slot: int
    story: int
    kind: str
    time: int
    x: int = 0
    app: str = ""

    def wire(self, zero: int) -> dict[str, Any]:
        """As it is sent; ``zero`` is the beginning."""
        event: dict[str, Any] = {
            "kind": self.kind,
            "device": f"d{self.story % 2_000}",
            "host": f"h{self.story}",
            "time": zero + self.time,
            "id": f"{self.kind}{self.slot}.{self.story}",
        }
        if self.kind == "a":
            event["x"] = self.x
        if self.kind == "g":
            event["app"] = self.app
        return event


def stories(random: Random, count: int, between: int, spread: int) -> list[Told]:
    """Events of many stories in the order in which they come, a number of slots apart, those of one story at
    most ``spread``. Slots that no story begins in have an event that fits nothing.
    """
    found: list[Told] = []
    for number in range(count):
        slot = number * between
        found += [Told(slot + extra, count + slot + extra, "a", slot + extra) for extra in range(1, between)]
        kind = random.choice(["ab", "ab", "ab", "ee", "eee", "fg", "fg", "cd", "pq"])
        later = [slot + random.randrange(1, spread) for _ in kind[1:]]
        slots = [slot, *later]
        if kind[0] != "e" and random.random() < 0.15:
            # The second step comes first.
            slots.reverse()
        # Not more: an event that lies two minutes ahead of its message is refused.
        apart = random.choice([1, 20_000] if kind[0] == "e" else [1, 1, 20_000, 59_999, 60_001, 75_000])
        for place, (letter, at) in enumerate(zip(kind, slots, strict=True)):
            x, app = random.randrange(6), random.choice(APPS)
            found.append(Told(at, number, letter, slot + place * apart, x, app))
    return sorted(found, key=lambda told: (told.slot, told.story))


class Life(msgspec.Struct):
    """A version of a rule: the messages after ``begin`` up to ``end`` are its own; what it said after that
    it said while it drained, up to ``over``.
    """

    rule: str
    pattern: tuple[Any, ...]
    begin: int
    end: int = FOREVER
    over: int = FOREVER


class Count(msgspec.Struct, frozen=True):
    """As `RuleReport`: devices of which a rule knows something, alerts, matches under way where that is
    exact.
    """

    devices: int
    alerts: int
    partial: int | None


class Expected(msgspec.Struct, frozen=True, order=True):
    """An alert that is created: by which rule and pattern, of which story, with which severity."""

    rule: str
    pattern: tuple[Any, ...]
    host: str
    severity: str


class Model:
    """Args:
    settings: the first, and after each reload.
    reloads: the sequence of the message after which each took effect.
    told: all events, each with the sequence of its message.
    """

    def __init__(
        self, settings: Sequence[Settings], reloads: Sequence[int], told: Iterable[tuple[int, Told]]
    ) -> None:
        self._before: list[list[Life]] = []
        self._told = list(told)
        self._of_story: dict[int, list[tuple[int, Told]]] = {}
        for sequence, one in self._told:
            self._of_story.setdefault(one.story, []).append((sequence, one))
        self._begins = [0, *reloads]
        self._settings = settings
        self.lives: list[Life] = []
        self.states: list[dict[str, str]] = []
        """Of each reload: what became of each rule."""
        self.early: list[list[str]] = []
        """Of each reload: the rules whose old versions ended for it."""
        current = {
            rule: Life(rule, pattern, 0)
            for rule in RULES
            if (pattern := settings[0].pattern(rule)) is not None
        }
        draining: list[list[Life]] = []
        self.lives += current.values()
        for number, at in enumerate(reloads, 1):
            # Two may take effect after the same message.
            self._before.append(list(current.values()))
            states: dict[str, str] = {}
            changed: list[Life] = []
            for rule in RULES:
                life, pattern = current.get(rule), settings[number].pattern(rule)
                if life is None and pattern is None:
                    continue
                if life is not None and life.pattern == pattern:
                    states[rule] = "kept"
                    continue
                states[rule] = "cold" if life is None else "dropped" if pattern is None else "drained"
                if life is not None:
                    life.end = at
                    if pattern is None:
                        life.over = at
                        del current[rule]
                    elif self._begun(life, at):
                        changed.append(life)
                if pattern is not None:
                    current[rule] = Life(rule, pattern, at)
                    self.lives.append(current[rule])
            early: list[str] = []
            if changed:
                draining.append(changed)
            if len(draining) > MOST_DRAINS:
                for life in draining.pop(0):
                    life.over = at
                    early.append(life.rule)
            self.states.append(states)
            self.early.append(early)

    def expected(self) -> list[Expected]:
        """What is created, in order."""
        found: list[Expected] = []
        for story, events in self._of_story.items():
            rule = _BY_FIRST[min(one.kind for _, one in events)]
            for life in self.lives:
                if life.rule == rule:
                    said = self._burst(life, events) if rule == "burst" else self._two(life, events)
                    if said is not None:
                        severity = self._at(min(said, life.end)).severity_of(rule)
                        found.append(Expected(rule, life.pattern, f"h{story}", severity))
        return sorted(found)

    def counts(self, number: int) -> dict[str, Count]:
        """What is known of the rules of two steps at a reload, of those that were there before it."""
        at = self._begins[number]
        found: dict[str, Count] = {}
        for life in self._before[number - 1]:
            if life.rule != "burst":
                begun = self._begun(life, at)
                # Each story has a device of its own.
                said = [place for story in begun if (place := self._two(life, self._of_story[story]))]
                alerts = sum(place <= at for place in said)
                # What was not completed in the shorter windows may be forgotten by now.
                partial = len(begun) - alerts if life.rule in ("steady", "extra") else None
                found[life.rule] = Count(len(begun), alerts, partial)
        return found

    def _begun(self, life: Life, until: int) -> list[int]:
        """The stories of which it has a first step."""
        return [
            one.story
            for at, one in self._told
            if life.begin < at <= min(until, life.end)
            and _BY_FIRST.get(one.kind) == life.rule
            and (life.rule != "chain" or one.x > life.pattern[0])
        ]

    def _two(self, life: Life, events: list[tuple[int, Told]]) -> int | None:
        """The message at which it is said."""
        (first_at, first), (then_at, then) = sorted(events, key=lambda pair: pair[1].kind)
        if not (life.begin < first_at <= life.end and life.begin < then_at <= life.over):
            return None
        window = {"chain": 1, "listed": 0}.get(life.rule)
        within = 300 if window is None else life.pattern[window]
        if not 0 < then.time - first.time <= within * 1000:
            return None
        if life.rule == "chain" and first.x <= life.pattern[0]:
            return None
        if life.rule == "listed" and then.app not in self._at(min(then_at, life.end)).known:
            return None
        return max(first_at, then_at)

    def _burst(self, life: Life, events: list[tuple[int, Told]]) -> int | None:
        mine = sorted(at for at, _ in events if life.begin < at <= life.over)
        least = life.pattern[0]
        if len(mine) < least or mine[0] > life.end:
            return None
        return mine[least - 1]

    def _at(self, sequence: int) -> Settings:
        """The settings in force for a message."""
        number = max(n for n, begin in enumerate(self._begins) if begin < sequence)
        return self._settings[number]
