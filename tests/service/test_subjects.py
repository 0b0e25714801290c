"""Nothing that comes from outside can change the shape of a subject or a header."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.service.subjects import (
    LARGEST_DEAD_LETTER,
    LONGEST_HEADER_VALUE,
    LONGEST_TOKEN,
    alert_subject,
    dead_letter,
    dead_letter_subject,
    decode_token,
    encode_token,
    header_value,
    safe_message_id,
)

_LEGAL = re.compile(r"[A-Za-z0-9_=-]+")
# Lone surrogates too: JSON can carry them.
_ANY_TEXT = st.text(st.characters(exclude_categories=()))
_LONG_TEXT = st.builds(lambda text, times: text * times, _ANY_TEXT, st.integers(1, 60))


@given(_ANY_TEXT | _LONG_TEXT)
def test_a_token_has_only_legal_characters_and_is_bounded(text: str) -> None:
    token = encode_token(text)
    assert _LEGAL.fullmatch(token)
    assert len(token) <= LONGEST_TOKEN


@given(_ANY_TEXT)
def test_a_token_that_was_not_cut_turns_back(text: str) -> None:
    token = encode_token(text)
    if "==" not in token:
        assert decode_token(token) == text


@given(_ANY_TEXT | _LONG_TEXT, _ANY_TEXT | _LONG_TEXT)
def test_different_texts_have_different_tokens(one: str, other: str) -> None:
    assert (encode_token(one) == encode_token(other)) == (one == other)


@given(_ANY_TEXT | _LONG_TEXT)
def test_a_token_is_never_the_text_of_another(text: str) -> None:
    token = encode_token(text)
    if token != text:
        assert encode_token(token) != token


@given(_ANY_TEXT | _LONG_TEXT, _ANY_TEXT | _LONG_TEXT)
def test_different_message_ids_stay_different(one: str, other: str) -> None:
    assert (safe_message_id(one) == safe_message_id(other)) == (one == other)
    assert safe_message_id(safe_message_id(one)) == safe_message_id(one) or one != safe_message_id(one)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("device-7_A", "device-7_A"),
        ("10.0.0.7", "10=2E0=2E0=2E7"),
        ("a b", "a=20b"),
        ("*", "=2A"),
        (">", "=3E"),
        ("a=2Eb", "a=3D2Eb"),
        ("x\r\nPUB y", "x=0D=0APUB=20y"),
        ("é", "=C3=A9"),
        ("", "="),
    ],
)
def test_examples(text: str, token: str) -> None:
    assert encode_token(text) == token
    assert decode_token(token) == text


def test_long_texts_with_the_same_beginning_differ() -> None:
    one, other = encode_token("." * 500 + "a"), encode_token("." * 500 + "b")
    assert one != other
    with pytest.raises(ValueError, match="not a whole encoded token"):
        decode_token(one)


@pytest.mark.parametrize("token", ["a.b", "=2", "=2e", "é", "a=", "=="])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="not a whole encoded token"):
        decode_token(token)


def test_a_hostile_device_cannot_add_tokens() -> None:
    subject = alert_subject("high", "an1756 ios", "x.low.other_rule.>")
    assert subject == "alerts.high.an1756=20ios.x=2Elow=2Eother_rule=2E=3E"
    assert dead_letter_subject("a.b") == "dlq.thenwire.a=2Eb"


@given(st.text() | st.text(min_size=LONGEST_HEADER_VALUE))
def test_a_header_value_is_one_printable_line(text: str) -> None:
    value = header_value(text)
    assert re.fullmatch(r"[\x20-\x7e]*", value)
    assert len(value) <= LONGEST_HEADER_VALUE


def test_a_dead_letter_says_where_it_came_from() -> None:
    letter = dead_letter(
        reason="malformed_json",
        detail='unexpected "\r\n" at byte 3',
        payload=b"{x",
        stream="EVENTS",
        sequence=17,
        subject="events.d1",
        index=4,
    )
    assert letter.subject == "dlq.thenwire.malformed_json"
    assert letter.payload == b"{x"
    assert letter.message_id == "dlq:EVENTS:17:4:malformed_json"
    assert letter.headers == {
        "Origin-Stream": "EVENTS",
        "Origin-Sequence": "17",
        "Origin-Subject": "events.d1",
        "Origin-Index": "4",
        "Error-Reason": "malformed_json",
        "Error-Detail": 'unexpected "?" at byte 3',
    }


def test_a_dead_letter_is_bounded_and_says_that_it_was_cut() -> None:
    payload = b"x" * (LARGEST_DEAD_LETTER + 1)
    letter = dead_letter(
        reason="r", detail="d" * 5000, payload=payload, stream="S", sequence=1, subject="s", index=0
    )
    assert letter.payload == payload[:-1]
    assert letter.headers["Origin-Size"] == str(len(payload))
    assert letter.headers["Error-Detail"].endswith("...")
