"""What the processor says of events that came too late, and of caps that were met."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

import dsl
from engine.service.matching import MatchingProcessor
from engine.service.processor import Outgoing

RULES = """
EVENT net flow GRACE 1m LATE 1h { app: string }
RULE twice { WHEN net flow THEN net flow WITHIN 1m }
"""
DAY = 86_400_000


def event(time: int, **fields: Any) -> dict[str, Any]:
    return {"kind": "net.flow", "device": "d1", "time": time, "app": "a", **fields}


def process(processor: MatchingProcessor, payload: bytes, sequence: int, at: int = DAY) -> list[Outgoing]:
    return processor.process(payload, None, sequence, "EVENTS", "events.test", at)


@pytest.mark.parametrize("form", ["one", "array", "lines"])
def test_a_late_event_goes_to_the_late_subject_as_it_came(form: str) -> None:
    processor = MatchingProcessor(dsl.load_text(RULES))
    now = json.dumps(event(DAY)).encode()
    late = json.dumps(event(DAY - 3_660_001, extra={"not": "declared"})).encode()
    just_in_time = json.dumps(event(DAY - 3_660_000)).encode()
    assert process(processor, now, 6) == []
    forms = {
        "one": late,
        "array": b"[" + just_in_time + b", " + late + b"]",
        "lines": now + b"\n" + late,
    }
    payload = forms[form]
    out = [one for one in process(processor, payload, 7) if not one.subject.startswith("alerts.")]
    assert [one.subject for one in out] == ["late.thenwire.net=2Eflow"]
    assert out[0].payload == late
    index = "0" if form == "one" else "1"
    assert out[0].message_id == f"late:EVENTS:7:{index}"
    assert out[0].headers == {
        "Origin-Stream": "EVENTS",
        "Origin-Sequence": "7",
        "Origin-Subject": "events.test",
        "Origin-Index": index,
    }
    assert processor.late == 1


def test_a_cap_that_is_met_is_logged_with_rule_and_device(caplog: pytest.LogCaptureFixture) -> None:
    processor = MatchingProcessor(dsl.load_text(RULES))
    with caplog.at_level(logging.WARNING, logger="thenwire.service"):
        for second in range(3):
            events = [event(DAY + second * 1000 + n, id=f"{second}.{n}") for n in range(1000)]
            process(processor, json.dumps(events).encode(), second + 1, DAY + second * 1000)
        assert "at a cap" not in caplog.text
        process(processor, json.dumps(event(DAY + 20_000)).encode(), 9, DAY + 20_000)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all("rule twice for d1: " in line for line in lines)
    assert "kept events dropped" in lines[0]
    assert "alerts or suppressed matches forgotten" in lines[1]
