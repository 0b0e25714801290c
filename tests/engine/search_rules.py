"""Random rules of the constructs that *search* runs, and random events for them."""

from __future__ import annotations

from random import Random
from typing import Any

DECLARATIONS = """
EVENT alpha GRACE 3ms { app: string? x: int? }
EVENT beta GRACE 3ms { app: string? x: int? }
EVENT gamma GRACE 3ms { x: int? }
EVENT delta GRACE 3ms { app: string? x: int? }
SIGNAL either = alpha [x == 1] OR beta
"""
Wire = dict[str, Any]


class Writer:
    """Writes one rule, drawing every choice. ``readable`` are the names a filter may read."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.readable: list[str] = []
        self.several: list[str] = []
        self.names = 0

    def rule(self) -> str:
        random = self.random
        keyed = random.random() < 0.4
        steps = random.choice([1, 2, 2, 2, 3, 3])
        parts: list[str] = []
        if random.random() < 0.2:
            parts.append(f"NO {self.source()} FOR {random.randint(1, 5)}ms THEN")
        needs_keyed = keyed
        for index in range(steps):
            if index:
                parts.append("THEN" if random.random() < 0.7 else self.gap())
            parts.append(self.step(needs_keyed and index == 0, guardable=index > 0))
            if random.random() < 0.2:
                parts.append(f"THEN NO {self.source()} FOR {random.randint(1, 5)}ms")
        pattern = " ".join(parts) + f" WITHIN {random.randint(4, 14)}ms"
        lines = ["BY device, app" if keyed else "", f"WHEN {pattern}"]
        if random.random() < 0.2:
            lines.append(f"UNLESS {self.source()} WITHIN {random.randint(1, 4)}ms BEFORE")
        lines.append(random.choice(["", "", "SELECT FIRST", "SELECT EACH"]))
        return "RULE r { " + " ".join(lines) + " }"

    def gap(self) -> str:
        low = self.random.randint(1, 3)
        return self.random.choice(
            [f"THEN WITHIN {low + 2}ms", f"THEN AFTER {low}ms", f"THEN BETWEEN {low}ms AND {low + 3}ms"]
        )

    def source(self, keyed: bool = False) -> str:
        random = self.random
        kind = random.choice(
            ["alpha", "beta", "delta", "either"] if keyed else ["alpha", "beta", "gamma", "delta"]
        )
        shape = random.randint(0, 6)
        if shape == 0:
            return f"{kind} [x == 1]"
        if shape == 1 and self.readable:
            return f"{kind} [x == {random.choice(self.readable)}.x]"
        if shape == 1 and self.several:
            name = random.choice(self.several)
            return random.choice(
                [f"{kind} [x IN {name}.x]", f"{kind} [{name}.count >= 3]", f"{kind} [x == {name}.first.x]"]
            )
        return kind

    def step(self, keyed: bool, guardable: bool) -> str:
        random = self.random
        shape = random.randint(0, 9)
        several = False
        guards = ""
        if guardable and random.random() < 0.2:
            guards = f" WITHOUT {self.source()}"
        elif random.random() < 0.15:
            guards = f" WITHOUT {self.source()} FOR {random.randint(1, 4)}ms"
        if shape <= 4:
            node = self.source(keyed)
        elif shape <= 7:
            amount = random.choice(["2", "2", "3", "2 DISTINCT x OF", "2 SUM x OF"])
            node = f"AT LEAST {amount} {self.source(keyed)} IN {random.randint(2, 8)}ms"
            several = True
        else:
            branches = [self.branch(keyed) for _ in range(random.choice([2, 2, 3]))]
            word = random.choice(["ALL OF", f"ANY {random.randint(1, 2)} OF"])
            node = f"{word} ({', '.join(branches)})"
            several = True
        if random.random() < 0.5:
            self.names += 1
            name = f"s{self.names}"
            (self.several if several else self.readable).append(name)
            return f"{node}{guards} AS {name}"
        return node + guards

    def branch(self, keyed: bool) -> str:
        random = self.random
        if random.random() < 0.25:
            return f"{self.source(keyed)} THEN {self.source()} WITHIN {random.randint(2, 5)}ms"
        if random.random() < 0.2:
            return f"AT LEAST 2 {self.source(keyed)} IN {random.randint(2, 5)}ms"
        return self.source(keyed)


def random_rule(random: Random) -> str:
    """The text of a rule set with one rule, ``r``."""
    return DECLARATIONS + Writer(random).rule() + "\n"


def random_events(random: Random, most: int = 14) -> list[tuple[Wire, int]]:
    """Wire events in order, with the positions that decide ties."""
    events: list[tuple[Wire, int]] = []
    time = 1_000
    intervals = random.random() < 0.15
    for index in range(random.randint(3, most)):
        time += random.choice([0, 1, 1, 1, 2, 3, 6])
        kind = random.choice(["alpha", "alpha", "beta", "beta", "gamma", "delta"])
        wire: Wire = {"kind": kind, "device": "d1", "time": time, "id": f"e{index}"}
        if intervals and random.random() < 0.4:
            wire["start"] = time - random.randint(0, 3)
            wire["quality"] = "interval"
        if random.random() < 0.9:
            wire["x"] = random.choice([1, 1, 2])
        if kind != "gamma":
            wire["app"] = random.choice(["p", "p", "p", "q"])
        events.append((wire, index + 1))
    return events
