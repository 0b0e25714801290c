"""The service's processor: what is stored and taken up again goes on, whatever comes first then."""

from __future__ import annotations

from typing import Any

import msgspec
from sets import ZERO, Message, prepared, rules

from engine.service.rules.processor import ReloadingProcessor


def said(processor: ReloadingProcessor, message: Message) -> list[dict[str, Any]]:
    """The alerts that a message causes."""
    out = processor.process(message.raw, None, message.sequence, "EVENTS", "events.x", message.stored_ms)
    return [msgspec.json.decode(one.payload) for one in out if one.subject.startswith("alerts.")]


def taken_up(text: str, processor: ReloadingProcessor) -> ReloadingProcessor:
    """Another process with rules of its own goes on from the state of one."""
    cut = processor.cut()
    parts: dict[str, bytes | None] = {}
    while rows := cut.pack(2):
        parts.update(rows)
    after = ReloadingProcessor(prepared(text))
    after.restore(cut.shared, [(key, part) for key, part in sorted(parts.items()) if part is not None])
    return after


def test_a_set_that_comes_into_force_before_the_first_message_has_the_old_one_drain() -> None:
    begin = {"kind": "a", "device": "d", "host": "h", "x": 7, "time": ZERO, "id": "1"}
    end = {"kind": "b", "device": "d", "host": "h", "time": ZERO + 10_000, "id": "2"}
    before = ReloadingProcessor(prepared(rules(limit=3)))
    assert said(before, Message(1, ZERO + 50, begin)) == []
    after = taken_up(rules(limit=4), before)
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
