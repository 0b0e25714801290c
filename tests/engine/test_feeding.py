"""The three ways to feed: a decoded event, one as bytes, many as bytes."""

from __future__ import annotations

import pytest

import dsl
import engine
from engine.events import BadEvent

RULES = dsl.load_text(
    """
    EVENT flow LATE 1m { app: string  bytes_out: int? }
    EVENT crash LATE 1m { app: string }
    BASELINE egress = bytes_out OF flow BY device, app EVERY 1s USING robust WARMUP 3
    RULE twice { BY device, app  WHEN flow [bytes_out > 5] THEN crash WITHIN 20s }
    RULE odd { BY device, app  WHEN flow [deviation(egress) >= 4] THEN crash WITHIN 20s }
    """
)


def line(kind: str, second: int, fields: str = ',"app":"x"') -> bytes:
    return f'{{"kind":"{kind}","device":"d","time":{second * 1000}{fields}}}'.encode()


FLOW = ',"app":"x","bytes_out":9'


@pytest.mark.parametrize("kind", ["flow", "crash"])
def test_an_event_from_the_future_is_refused_and_moves_no_clock(kind: str) -> None:
    matcher = engine.Matcher(RULES)
    matcher.not_after(100_000)
    matcher.feed_json(line(kind, 100))
    with pytest.raises(BadEvent) as refused:
        matcher.feed_json(line(kind, 101))
    assert refused.value.reason == "future_time"
    with pytest.raises(BadEvent):
        matcher.feed(matcher.decoder.decode(line(kind, 101)))  # type: ignore[arg-type]  # it is an event
    assert (matcher.counts[kind].seen, matcher.late) == (1, [])
    matcher.not_after(1_000_000)
    matcher.feed_json(line(kind, 1_000))
    matcher.feed_json(line(kind, 101), 7)
    assert (matcher.counts[kind].late, matcher.late) == (1, [7])


@pytest.mark.parametrize("kind", ["flow", "crash"])
def test_the_latest_time_may_come_nearer(kind: str) -> None:
    matcher = engine.Matcher(RULES)
    matcher.feed_json(line(kind, 100))
    matcher.not_after(150_000)
    matcher.feed_json(line(kind, 150))
    with pytest.raises(BadEvent, match="future_time"):
        matcher.feed_json(line(kind, 151))
    matcher.not_after(200_000)
    matcher.feed_json(line(kind, 200))
    assert matcher.counts[kind].seen == 3


def test_many_go_on_behind_a_bad_one() -> None:
    matcher = engine.Matcher(RULES)
    bad: list[tuple[str, int]] = []
    alerts = matcher.feed_many(
        [line("flow", 1, FLOW), b"nonsense", line("flow", 2, ',"app":5'), line("other", 3), line("crash", 4)],
        10,
        2,
        lambda found, position: bad.append((found.reason, position)),
    )
    assert [alert.rule.name for alert in alerts] == ["twice"]
    assert bad == [("malformed_json", 12), ("wrong_type", 14), ("unknown_kind", 16)]


def never(bad: BadEvent, position: int) -> None:
    raise bad


def test_times_as_text_go_the_long_way_and_mean_the_same() -> None:
    matcher = engine.Matcher(RULES)
    first = b'{"kind":"flow","device":"d","time":"1970-01-01T00:00:01Z","app":"x","bytes_out":9}'
    assert len(matcher.feed_many([first, line("crash", 2)], 0, 1, never)) == 1


def test_what_fits_nothing_is_not_looked_at() -> None:
    """Stated in docs/explanation/performance.md: a wrong id of an event of no interest goes unnoticed."""
    matcher = engine.Matcher(dsl.load_text("EVENT flow { n: int } RULE r { WHEN flow [n > 5] }"))
    assert matcher.feed_json(b'{"kind":"flow","device":"d","time":1,"n":1,"id":5}') == []
    with pytest.raises(BadEvent, match="wrong_type"):
        matcher.feed_json(b'{"kind":"flow","device":"d","time":1,"n":9,"id":5}')


def test_what_a_bad_event_let_go_by_its_time_is_not_lost_with_it() -> None:
    """Its time moves the clock, and a silence is complete; what it fits wants it in full then: it is bad."""
    matcher = engine.Matcher(
        dsl.load_text(
            """
            EVENT flow GRACE 0s { n: int }
            EVENT beat GRACE 0s { n: int }
            RULE silent { WHEN flow THEN NO beat [n < 3] FOR 10s }
            RULE loud { WHEN beat [n > 5] THEN flow WITHIN 1m }
            """
        )
    )
    alerts = matcher.feed_json(line("flow", 1, ',"n":1'))
    with pytest.raises(BadEvent):
        matcher.feed_json(line("beat", 100, ',"n":9,"id":5'))
    alerts += matcher.feed_json(line("beat", 101, ',"n":1'))
    assert [alert.rule.name for alert in alerts] == ["silent"]
