"""Times are converted exactly."""

import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sources import Refused, times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1601998398.945854", 1601998398945),
        # As a double times 1000 these two are 1488977241981.9999 and 1509.9999999999998.
        ("1488977241.982", 1488977241982),
        ("1.51", 1510),
        ("22.335172", 22335),
        ("0.0", 0),
        ("1601998398", 1601998398000),
        ("1.601998398945854e+09", 1601998398945),
        ("253402300799.999", times.LAST_TIME),
    ],
)
def test_epoch_seconds(text: str, expected: int) -> None:
    assert times.from_seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-01-06 15:09:22.6192 +0200", 1641474562619),
        ("2021-10-22 00:14:53.00 +0300", 1634850893000),
        ("2022-04-27T10:53:24.555-04:00", 1651071204555),
        ("2022-04-27T14:53:24.5Z", 1651071204500),
        ("2022-04-27T14:53:24z", 1651071204000),
        ("1970-01-01T05:30:00+05:30", 0),
        ("2016-12-31T23:59:60Z", 1483228800000),
        # Cut off, not rounded up.
        ("2022-04-27T14:53:24.999999Z", 1651071204999),
    ],
)
def test_date_and_time(text: str, expected: int) -> None:
    assert times.from_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2022-04-27T10:53:24.555",
        "2022-04-27",
        "2022-02-30T10:53:24Z",
        "2022-13-01T10:53:24Z",
        "2022-04-27T24:00:00Z",
        "2022-04-27T10:60:00Z",
        "2022-04-27T10:00:61Z",
        "2022-04-27T10:53:24+24:00",
        "2022-04-27T10:53:24+02:60",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "0000-01-01T00:00:00Z",
        "2022-04-27T10:53:24Z\n",
        "٢022-04-27T10:53:24Z",
    ],
)
def test_a_date_that_cannot_be_placed_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        times.from_text(text)
    assert refused.value.reason == "bad_time"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "wrong_type"),
        ("1.", "wrong_type"),
        (".5", "wrong_type"),
        ("1_000", "wrong_type"),
        (" 1", "wrong_type"),
        ("²", "wrong_type"),
        ("NaN", "wrong_type"),
        ("Infinity", "wrong_type"),
        ("1e999999999", "wrong_type"),
        ("1" * 5000, "wrong_type"),
        ("1e300", "bad_time"),
        ("-1", "bad_time"),
        ("253402300800", "bad_time"),
    ],
)
def test_seconds_that_are_no_time_are_refused(text: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        times.from_seconds(text)
    assert refused.value.reason == reason


@given(
    st.datetimes(min_value=datetime(1970, 1, 3), max_value=datetime(9999, 12, 28)),
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_every_date_with_every_offset_agrees_with_the_calendar(moment: datetime, offset: int) -> None:
    sign = "-" if offset < 0 else "+"
    hours, minutes = divmod(abs(offset), 60)
    text = f"{moment.isoformat(timespec='milliseconds')}{sign}{hours:02}:{minutes:02}"
    elapsed = moment - timedelta(minutes=offset) - datetime(1970, 1, 1)
    assert times.from_text(text) == elapsed // timedelta(milliseconds=1)
    apple = re.sub(r":(\d\d)$", r"\1", text.replace("T", " ")).replace(sign, f" {sign}")
    if sign == "+":
        assert times.from_text(apple) == times.from_text(text)


@given(st.integers(min_value=0, max_value=times.LAST_TIME), st.integers(min_value=0, max_value=999))
def test_every_number_of_seconds_keeps_its_millisecond(value: int, rest: int) -> None:
    assert times.from_seconds(f"{value // 1000}.{value % 1000:03}{rest:03}") == value
