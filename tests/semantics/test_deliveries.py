"""How events are delivered changes nothing: singly, in chunks or all at once, once or twice.

And over whatever is delivered, the publications about one alert are a history that a subscriber can
follow: :func:`running.standing` says what that is.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from contested import contested
from generate import Case, random_case
from generate_chains import random_chain
from hypothesis import event, given, settings
from hypothesis import strategies as st
from inputs import Input, Passed, Placed, Wall, told, what_stands, with_clocks
from running import flat, runnable, standing

import engine
from engine.events import POSITION_SHIFT
from engine.service.matching import MatchingProcessor

SLICES = 2
SEEDED = settings().max_examples // SLICES
FEWER = settings(max_examples=max(1, settings().max_examples // 6))

Chunk = tuple[int, list[dict[str, Any]]]
"""The wall clock, and events that come in while it stands there."""


def any_case(random: Random) -> Case:
    """One rule, often several of which some read the alerts of others."""
    return random_chain(random, 3, silent=True) if random.randrange(2) else random_case(random)


any_cases = st.randoms(use_true_random=False).map(any_case)


def shuffled(case: Case, random: Random) -> list[Placed]:
    arrival = case.in_order()
    random.shuffle(arrival)
    return arrival


def chunked(random: Random, events: list[dict[str, Any]]) -> list[Chunk]:
    """The events in chunks of one to six, a wall clock that never goes back with each."""
    chunks: list[Chunk] = []
    now, at = 100, 0
    while at < len(events):
        size = random.randint(1, 6)
        chunks.append((now, events[at : at + size]))
        at += size
        now += random.choice([0, 1, 3, 8, 150_000])
    return chunks


def served(case: Case, messages: list[Chunk], ndjson: bool = False) -> list[bytes]:
    """What the service publishes, one message a chunk, and what the end of input adds."""
    processor = MatchingProcessor(case.ruleset)
    out: list[bytes] = []
    for sequence, (now, events) in enumerate(messages, start=1):
        if len(events) == 1:
            payload, content_type = msgspec.json.encode(events[0]), None
        elif ndjson:
            payload = b"\n".join(msgspec.json.encode(e) for e in events)
            content_type = "application/x-ndjson"
        else:
            payload, content_type = msgspec.json.encode(events), "application/json"
        found = processor.process(payload, content_type, sequence, "EVENTS", "events.x", now)
        out += [outgoing.payload for outgoing in found]
    return out + [engine.encode(alert) for alert in processor.matcher.close()]


def fed(case: Case, chunks: list[Chunk]) -> list[bytes]:
    """The same, straight into the matcher, an event at a time as JSON."""
    matcher = engine.Matcher(case.ruleset)
    out: list[engine.Alert] = []
    for now, events in chunks:
        out += matcher.advance(now)
        for wire in events:
            out += matcher.feed_json(msgspec.json.encode(wire))
    out += matcher.close()
    return [engine.encode(alert) for alert in out]


def structs(case: Case, chunks: list[Chunk]) -> list[bytes]:
    """The same as decoded structs, with positions that leave room."""
    matcher = engine.Matcher(case.ruleset)
    out: list[engine.Alert] = []
    position = 0
    for now, events in chunks:
        out += matcher.advance(now)
        for item in matcher.decoder.decode_payload(msgspec.json.encode(events)):
            position += 7 << POSITION_SHIFT
            if item is not None:
                assert isinstance(item, engine.Event)
                out += matcher.feed(item, position)
    out += matcher.close()
    return [engine.encode(alert) for alert in out]


@FEWER
@given(any_cases, st.randoms(use_true_random=False))
def test_singly_in_chunks_or_all_at_once(case: Case, random: Random) -> None:
    if not runnable(case.ruleset):
        return
    wires = [wire for wire, _ in shuffled(case, random)]
    chunks = chunked(random, wires)
    one_by_one: list[Chunk] = [(now, [wire]) for now, events in chunks for wire in events]
    said = served(case, one_by_one)
    assert served(case, chunks) == said
    assert served(case, chunks, ndjson=True) == said
    assert fed(case, chunks) == said
    assert structs(case, chunks) == said
    standing_still = [(100, wires)]
    assert served(case, standing_still) == fed(case, [(100, [wire]) for wire in wires])
    event("alerts" if said else "no alerts")


# --- duplicates


def delivered_again(random: Random, items: list[Input]) -> list[Input]:
    """Some events come again, at any later place: as the same message, or as another one."""
    out: list[Input] = []
    again: list[Placed] = []
    place = 1_000
    for item in items:
        out.append(item)
        if not isinstance(item, Passed | Wall) and random.randrange(2):
            again.append(item)
        while again and random.randrange(2):
            wire, position = again.pop(random.randrange(len(again)))
            place += 1
            out.append((wire, position if random.randrange(2) else place))
    return out + again


def without_effect(case: Case, arrival: list[Placed], random: Random) -> int:
    """Gives how many alerts there were."""
    if not runnable(case.ruleset):
        return 0
    items = with_clocks(random, arrival, wall=False)
    once = [engine.encode(alert) for alert in flat(told(case.ruleset, items))]
    twice = [engine.encode(alert) for alert in flat(told(case.ruleset, delivered_again(random, items)))]
    assert twice == once
    return len(once)


@FEWER
@given(any_cases, st.randoms(use_true_random=False))
def test_an_event_that_comes_twice_counts_once(case: Case, random: Random) -> None:
    without_effect(case, shuffled(case, random), random)


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_events_that_come_twice(part: int) -> None:
    alerts = 0
    for number in range(SEEDED):
        seed = number * SLICES + part
        random = Random(seed)
        try:
            alerts += without_effect(*contested(random, chains=True), random)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert SEEDED < 50 or alerts >= SEEDED // 4


# --- ids and revisions


def history(case: Case, arrival: list[Placed], random: Random) -> tuple[int, int]:
    """Every publication is checked as it comes. Gives how many closes and reopenings there were."""
    if not runnable(case.ruleset):
        return 0, 0
    items = delivered_again(random, with_clocks(random, arrival))
    alerts = flat(told(case.ruleset, items))
    stands = standing(alerts)
    latest = {alert.id: alert for alert in alerts}
    assert len(stands) == sum(alert.status == "open" for alert in latest.values())
    assert len(what_stands(alerts)) == len(stands)
    closed: set[str] = set()
    reopened = 0
    for alert in alerts:
        if alert.activity == "close":
            closed.add(alert.id)
        elif alert.id in closed:
            closed.remove(alert.id)
            reopened += 1
    return sum(alert.activity == "close" for alert in alerts), reopened


def suppressing(case: Case, random: Random) -> Case:
    """The same rules, the last of them with SUPPRESS."""
    head, brace, _ = case.text.rpartition("}")
    return Case(f"{head} SUPPRESS {random.randint(1, 6)}ms {brace}\n", case.events)


@FEWER
@given(any_cases, st.randoms(use_true_random=False))
def test_the_history_of_an_alert(case: Case, random: Random) -> None:
    arrival = shuffled(case, random)
    closes, reopened = history(case, arrival, random)
    event("reopened" if reopened else "closed" if closes else "neither")
    history(suppressing(case, random), arrival, random)


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_histories(part: int) -> None:
    closes = 0
    for number in range(SEEDED):
        seed = number * SLICES + part
        random = Random(seed)
        case, arrival = contested(random, chains=True)
        try:
            closes += history(case, arrival, random)[0]
            history(suppressing(case, random), arrival, random)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert SEEDED < 50 or closes >= SEEDED // 30
