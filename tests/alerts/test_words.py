"""Events and numbers in the words of an alert."""

from __future__ import annotations

from typing import Any

import pytest
from feeding import Feed

from engine.alerts import number, rfc3339

RULES = """
EVENT visit {
  active: bool? bytes: int? UNIT bytes host: string? score: float?
  tags: LIST OF string? user: string? zone: string?
}
EVENT end { host: string? }
SIGNAL finish = end
RULE r {
  WHEN visit [active OR bytes > 0 OR host == "h" OR score > 0 OR "t" IN tags
    OR user == "u" OR zone == "z"] AS v
  THEN finish WITHIN 1h
}
"""


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        ({"host": "h"}, "visit [host h]"),
        (
            {"active": True, "bytes": 1_234_567, "score": 0.12345},
            "visit [active True, bytes 1,234,567, score 0.123]",
        ),
        ({"tags": ["t"]}, "visit"),
        ({"tags": ["t"], "user": "u"}, "visit [user u]"),
        (
            {"bytes": 1, "host": "h", "score": 2.0, "tags": ["t"], "user": "u", "zone": "z"},
            "visit [bytes 1, host h, score 2, user u]",
        ),
        ({"host": "h", "user": "a\u202eb\n"}, "visit [host h, user a b ]"),
    ],
)
def test_an_event_is_said_with_its_first_four_fields_and_without_lists(
    fields: dict[str, Any], summary: str
) -> None:
    feed = Feed(RULES)
    feed("visit", 0, **fields)
    visit, end = feed.one("end", 1).steps
    assert visit.summary == summary
    assert visit.fields == fields
    assert end.summary == "finish (end)"


def test_events_of_one_step_may_be_of_several_kinds() -> None:
    feed = Feed(
        """
        EVENT visit { host: string } EVENT crash { signal: string }
        SIGNAL trouble = visit [host == "h"] OR crash [signal == "s"]
        RULE r { WHEN trouble }
        """
    )
    said = [feed.one("visit", 0, host="h"), feed.one("crash", 1, signal="s"), feed.one("visit", 2, host="h")]
    assert [alert.steps[0].summary for alert in said] == [
        "trouble (visit) [host h]",
        "trouble (crash) [signal s]",
        "trouble (visit) [host h]",
    ]


def test_what_no_device_has_sent_is_said_since_the_earliest_event_of_all() -> None:
    feed = Feed("EVENT a { } EVENT b { } EVENT c { } RULE r { WHEN a THEN ONE OF (b, c) WITHIN 1d }")
    silent = "not sent by any device since "
    feed("a", 60)
    assert [gap.status for gap in feed.one("b", 61).gaps] == [f"{silent}2026-03-02T09:00:00.000Z"]
    feed("a", 62)
    assert [gap.status for gap in feed.one("b", 63).gaps] == [f"{silent}2026-03-02T09:00:00.000Z"]
    feed("a", 30, device="d2")
    feed("a", 64)
    assert [gap.status for gap in feed.one("b", 65).gaps] == [f"{silent}2026-03-02T08:30:00.000Z"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (-0.0, "0"),
        (True, "1"),
        (-12_345, "-12,345"),
        (999_999_999_999_999, "999,999,999,999,999"),
        (10**15, "1,000,000,000,000,000"),
        (5.0, "5"),
        (5.25, "5.25"),
        (-99.96, "-100"),
        (100.4, "100"),
        (1234.5678, "1,235"),
        (-1234.5678, "-1,235"),
        (0.00012345, "0.000123"),
        (1e20, "100,000,000,000,000,000,000"),
    ],
)
def test_numbers_are_short(value: float, words: str) -> None:
    assert number(value) == words


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1970-01-01T00:00:00.000Z"),
        (951_868_799_999, "2000-02-29T23:59:59.999Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_772_438_461_007, "2026-03-02T08:01:01.007Z"),
        (10**18, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_those_of_rfc_3339(milliseconds: int, text: str) -> None:
    assert rfc3339(milliseconds) == text
