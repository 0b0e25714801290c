"""The service's processor: what is stored and taken up again goes on, whatever comes first then."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from sets import ZERO, Message, prepared, rules, stream

from engine.service.rules.processor import ReloadingProcessor


def said(processor: ReloadingProcessor, message: Message) -> list[dict[str, Any]]:
    """The alerts that a message causes."""
    out = processor.process(message.raw, None, message.sequence, "EVENTS", "events.x", message.stored_ms)
    return [msgspec.json.decode(one.payload) for one in out if one.subject.startswith("alerts.")]


class Store:
    """What is stored: a cut has only the parts that have changed since the one before."""

    def __init__(self) -> None:
        self._parts: dict[str, bytes] = {}

    def taken_up(self, text: str, processor: ReloadingProcessor) -> ReloadingProcessor:
        """Another process with rules of its own goes on from the state of one."""
        cut = processor.cut()
        while rows := cut.pack(2):
            for key, part in rows:
                if part is None:
                    self._parts.pop(key, None)
                else:
                    self._parts[key] = part
        after = ReloadingProcessor(prepared(text))
        after.restore(cut.shared, sorted(self._parts.items()))
        return after


def test_a_set_that_comes_into_force_before_the_first_message_has_the_old_one_drain() -> None:
    begin = {"kind": "a", "device": "d", "host": "h", "x": 7, "time": ZERO, "id": "1"}
    end = {"kind": "b", "device": "d", "host": "h", "time": ZERO + 10_000, "id": "2"}
    before = ReloadingProcessor(prepared(rules(limit=3)))
    assert said(before, Message(1, ZERO + 50, begin)) == []
    after = Store().taken_up(rules(limit=4), before)
    assert after.pending is not None
    report = after.swap(after.pending, 1)
    assert (report.at_ms, {one.rule: one.state for one in report.rules}["chain"]) == (ZERO + 50, "drained")
    # The first message after it may be of a time at which a drain without a beginning would be over.
    tick = {"kind": "c", "device": "other", "host": "h", "time": ZERO + 9_000, "id": "3"}
    assert said(after, Message(2, ZERO + 9_050, tick)) == []
    assert [alert["rule"]["name"] for alert in said(after, Message(3, ZERO + 10_050, end))] == ["chain"]


def test_a_processor_that_nobody_told_a_time_stands_at_none() -> None:
    processor = ReloadingProcessor(prepared(rules(limit=3)))
    assert processor.swap(prepared(rules(limit=4)), 0).at_ms == 0


@pytest.mark.parametrize("seed", range(30))
def test_restarts_around_reloads_change_nothing_that_is_published(seed: int) -> None:
    """Whether the set that follows is put in force by the process before, by the one after it, or by one that
    has taken in nothing yet.
    """
    random = Random(seed)
    messages = stream(random, 120)
    texts = {0: rules()}
    for place in sorted(random.sample(range(1, 110), 5)):
        window, severity = random.choice(["60s", "30s"]), random.choice(["low", "high"])
        texts[place] = rules(random.choice([2, 3, 4]), severity, window)
    outcomes = []
    for restarts in (False, True):
        text = texts[0]
        processor, store = ReloadingProcessor(prepared(text)), Store()
        published: list[Any] = []
        for message in messages:
            out = processor.process(message.raw, None, message.sequence, "EVENTS", "e", message.stored_ms)
            published += [(one.subject, one.payload, one.headers) for one in out]
            next_text = texts.get(message.sequence, text)
            if restarts and (random.random() < 0.1 or next_text != text):
                processor = store.taken_up(random.choice([text, next_text]), processor)
            if next_text != text:
                processor.swap(processor.pending or prepared(next_text), message.sequence)
                text = next_text
                if restarts and random.random() < 0.5:
                    processor = store.taken_up(text, processor)
        outcomes.append(published)
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) > 10
