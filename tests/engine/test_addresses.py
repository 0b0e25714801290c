"""Addresses take one spelling, whichever way an event comes and however often."""

from __future__ import annotations

import pytest

import dsl
from engine import Matcher
from engine.events import BadEvent

RULES = """
EVENT flow { ip: ip? client: ip? n: int }
EVENT stop { n: int? }
BASELINE places = ip OF flow BY device USING novelty
RULE r { WHEN flow [ip == "2001:db8::1" AND client == "192.0.2.1"] THEN stop WITHIN 1m }
"""


def wire(time: int, ip: str, client: str = "192.0.2.1") -> bytes:
    return f'{{"kind":"flow","device":"d","time":{time},"n":1,"ip":"{ip}","client":"{client}"}}'.encode()


@pytest.mark.parametrize("ip", ["2001:db8::1", "2001:DB8::1", "2001:db8:0:0:0:0:0:1"])
def test_every_spelling_fits(ip: str) -> None:
    matcher = Matcher(dsl.load_text(RULES), also_learn=["places"])
    for number in range(3):
        assert not matcher.feed_json(wire(60_000 * number, ip))
    assert len(matcher.feed_json(b'{"kind":"stop","device":"d","time":120001}')) == 1


def test_what_is_no_address_is_refused_each_time() -> None:
    matcher = Matcher(dsl.load_text(RULES), also_learn=["places"])
    for number in range(3):
        for bad in (wire(number, "2001:db8::1", "192.0.2"), wire(number, "here")):
            with pytest.raises(BadEvent, match="bad_ip"):
                matcher.feed_json(bad)
        matcher.feed_json(wire(number, "2001:db8::1"))
