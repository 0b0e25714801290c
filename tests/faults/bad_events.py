"""Events that cannot be matched: one maker for each kind of bad, with the reason that its dead letter names.

A maker gets a good wire event, the time at which it is published (epoch milliseconds) and a source of
chance, and gives the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

Wire = dict[str, Any]
Maker = Callable[[Wire, int, Random], bytes]
SKEW_MS: Final = 120_000
"""The default of ``--max-skew``."""
_DEEP: Final = 5_000


def _encoded(wire: Wire) -> bytes:
    return msgspec.json.encode(wire)


def _cut(wire: Wire, now_ms: int, random: Random) -> bytes:
    """A body that was cut off."""
    whole = _encoded(wire)
    return whole[: random.randrange(1, len(whole))]


def _not_utf8(wire: Wire, now_ms: int, random: Random) -> bytes:
    return _encoded(wire | {"device": "BROKEN"}).replace(b"BROKEN", b"\xff\xfe\xfa")


def _control(wire: Wire, now_ms: int, random: Random) -> bytes:
    """A raw control character inside a string."""
    return _encoded(wire | {"device": "BROKEN"}).replace(b"BROKEN", b"a\x01b")


def _text(wire: Wire, now_ms: int, random: Random) -> bytes:
    return random.choice([b"hello", b"<xml/>", b"{'kind': 'net.flow'}", b"\x00\x01\x02\x03"])


def _wrong_type(wire: Wire, now_ms: int, random: Random) -> bytes:
    return _encoded(
        {**FLOW, **_envelope(wire), "bytes_out": random.choice(["many", 1.5, True, [1], {"a": 1}])}
    )


def _too_large_number(wire: Wire, now_ms: int, random: Random) -> bytes:
    """Beyond 64 bits; a field is not silently wrapped or rounded."""
    whole = _encoded({**FLOW, **_envelope(wire), "bytes_out": "BROKEN"})
    return whole.replace(b'"BROKEN"', b"9" * 30)


def _time_as_object(wire: Wire, now_ms: int, random: Random) -> bytes:
    return _encoded(wire | {"time": random.choice([{}, [], True, -5, 1e300])})


def _long_device(wire: Wire, now_ms: int, random: Random) -> bytes:
    return _encoded(wire | {"device": random.choice(["", "d" * 257, "d" * 100_000])})


def _missing_field(wire: Wire, now_ms: int, random: Random) -> bytes:
    whole = {**FLOW, **_envelope(wire)}
    del whole[random.choice(["device", "time", "app", "bytes_out"])]
    return _encoded(whole)


def _bad_time(wire: Wire, now_ms: int, random: Random) -> bytes:
    text = random.choice(
        ["yesterday", "2026-11-02T10:00:00", "2026-13-45T99:00:00Z", "", "1e9", "2026-11-02"]
    )
    return _encoded(wire | {"time": text})


def _start_after(wire: Wire, now_ms: int, random: Random) -> bytes:
    return _encoded(wire | {"start": wire["time"] + 1 + random.randrange(1_000)})


def _bad_ip(wire: Wire, now_ms: int, random: Random) -> bytes:
    address = random.choice(["300.1.2.3", "10.0.0.0/8", "localhost", "", "fe80::%%"])
    return _encoded({**FLOW, **_envelope(wire), "ip": address})


def _future(wire: Wire, now_ms: int, random: Random) -> bytes:
    # Further ahead than the message can be delayed by anything that a test does.
    return _encoded(wire | {"time": now_ms + SKEW_MS + 600_000 + random.randrange(10**9)})


def _nested(wire: Wire, now_ms: int, random: Random) -> bytes:
    opening, closing = random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    inner = opening * _DEEP + b"1" + closing * _DEEP
    return _encoded(wire | {"extra": "BROKEN"}).replace(b'"BROKEN"', inner)


def _not_an_object(wire: Wire, now_ms: int, random: Random) -> bytes:
    return random.choice([b"1", b"null", b"true", b'"text"', b"-2.5e3"])


FLOW: Final[Wire] = {"kind": "net.flow", "app": "a", "bytes_out": 1}
MAKERS: Final[dict[str, tuple[Maker, str]]] = {
    "cut off": (_cut, "malformed_json"),
    "not UTF-8": (_not_utf8, "malformed_json"),
    "control character": (_control, "malformed_json"),
    "no JSON": (_text, "malformed_json"),
    "wrong type": (_wrong_type, "wrong_type"),
    "number too large": (_too_large_number, "wrong_type"),
    "time of another type": (_time_as_object, "wrong_type"),
    "device too long or empty": (_long_device, "wrong_type"),
    "missing field": (_missing_field, "missing_field"),
    "no time": (_bad_time, "bad_time"),
    "start after time": (_start_after, "bad_time"),
    "no address": (_bad_ip, "bad_ip"),
    "from the future": (_future, "future_time"),
    "nested too deep": (_nested, "nested_too_deep"),
    "no object": (_not_an_object, "not_an_object"),
}
"""By a name for people: the maker and the reason of the dead letter."""
IN_ARRAY: Final = tuple(
    name for name, (_, reason) in MAKERS.items() if reason not in ("malformed_json", "nested_too_deep")
)
"""Those that are JSON and leave the other elements of an array readable."""


def _envelope(wire: Wire) -> Wire:
    return {"device": wire["device"], "time": wire["time"]}


def make(name: str, wire: Wire, now_ms: int, random: Random) -> tuple[bytes, str]:
    """The bytes of one bad event and the reason that its dead letter must have."""
    maker, reason = MAKERS[name]
    return maker(wire, now_ms, random), reason
