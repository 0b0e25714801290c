"""What makes the engine quick changes nothing: with each part of it, and with none, it says the same, byte
for byte and at the same places. Events come as bytes, one by one and many together.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec
import pytest
from generate import Case
from hypothesis import settings
from inputs import Input, Passed, Wall, with_clocks
from running import runnable
from test_deliveries import any_case, suppressing

import dsl
import engine
from dsl import model as m
from engine.events import BadEvent
from engine.plan import Optimisations

NEVER = 1 << 30
NONE = Optimisations(pairs=False, logs=False, light=False, index_from=NEVER, creates=False)
EVERYTHING = Optimisations(index_from=1, index_group=1)
EACH = {
    "all, and an index for every source": EVERYTHING,
    "as they are": Optimisations(),
    "pairs alone": msgspec.structs.replace(NONE, pairs=True),
    "logs alone": msgspec.structs.replace(NONE, logs=True),
    "light alone": msgspec.structs.replace(NONE, light=True),
    "creates alone": msgspec.structs.replace(NONE, creates=True),
    "index alone": msgspec.structs.replace(NONE, index_from=1, index_group=1),
    "all but pairs": msgspec.structs.replace(EVERYTHING, pairs=False),
    "all but logs": msgspec.structs.replace(EVERYTHING, logs=False),
    "all but creates": msgspec.structs.replace(EVERYTHING, creates=False),
    "all but light": msgspec.structs.replace(EVERYTHING, light=False),
}
SLICES = 3


def said(ruleset: m.RuleSet, items: Sequence[Input], quick: Optimisations) -> list[list[bytes]]:
    matcher = engine.Matcher(ruleset, optimisations=quick)
    out: list[list[bytes]] = []
    for item in items:
        if isinstance(item, Passed):
            found = matcher.close(item.until)
        elif isinstance(item, Wall):
            found = matcher.advance(item.now)
        else:
            found = matcher.feed_json(msgspec.json.encode(item[0]), item[1])
        out.append([engine.encode(alert) for alert in found])
    out.append([engine.encode(alert) for alert in matcher.close()])
    out.append([repr(sorted(matcher.counts.items())).encode()])
    return out


def many(ruleset: m.RuleSet, items: Sequence[Input]) -> list[bytes]:
    """The same with the events between two clocks fed together."""
    matcher = engine.Matcher(ruleset, optimisations=EVERYTHING)
    out: list[engine.Alert] = []
    waiting: list[tuple[bytes, int]] = []

    def feed() -> None:
        # Positions of a case are not evenly spaced: those that are go together.
        while waiting:
            step = waiting[1][1] - waiting[0][1] if len(waiting) > 1 else 1
            count = 1
            while count < len(waiting) and waiting[count][1] - waiting[count - 1][1] == step:
                count += 1
            raws = [raw for raw, _ in waiting[:count]]
            out.extend(matcher.feed_many(raws, waiting[0][1], step, never_bad))
            del waiting[:count]

    for item in items:
        if isinstance(item, Passed | Wall):
            feed()
            out.extend(matcher.close(item.until) if isinstance(item, Passed) else matcher.advance(item.now))
        else:
            waiting.append((msgspec.json.encode(item[0]), item[1]))
    feed()
    out.extend(matcher.close())
    return [engine.encode(alert) for alert in out]


def never_bad(bad: BadEvent, position: int) -> None:
    raise bad


def check(case: Case, random: Random) -> int:
    if not runnable(case.ruleset):
        return 0
    arrival = case.in_order()
    if random.randrange(3):
        random.shuffle(arrival)
    items: list[Input] = with_clocks(random, arrival)
    plain = said(case.ruleset, items, NONE)
    for name, quick in EACH.items():
        assert said(case.ruleset, items, quick) == plain, name
    assert many(case.ruleset, items) == [alert for of_item in plain[:-1] for alert in of_item]
    return sum(map(len, plain)) - 1


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_cases(part: int) -> None:
    alerts = 0
    count = settings().max_examples // (2 * SLICES)
    for number in range(count):
        seed = number * SLICES + part
        random = Random(seed)
        case = any_case(random)
        try:
            alerts += check(case, random)
            alerts += check(suppressing(case, random), random)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert count < 50 or alerts > count


def test_of_two_intervals_the_one_that_began_later_may_still_complete() -> None:
    ruleset = dsl.load_text("EVENT a {} EVENT b {} RULE r { WHEN a THEN b WITHIN 10s }")
    items: list[Input] = [
        ({"kind": "a", "device": "d", "id": "a1", "start": 8_000, "time": 10_000}, 1),
        ({"kind": "a", "device": "d", "id": "a2", "start": 2_000, "time": 12_000}, 2),
        ({"kind": "b", "device": "d", "id": "b1", "time": 15_000}, 3),
    ]
    for quick in (NONE, *EACH.values()):
        alerts = [
            msgspec.json.decode(alert) for of_item in said(ruleset, items, quick)[:-1] for alert in of_item
        ]
        assert [[step["event_id"] for step in alert["steps"]] for alert in alerts] == [["a1", "b1"]]
