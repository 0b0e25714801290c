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


def _kind_of_another_type(wire: Wire, now_ms: int, random: Random) -> bytes:
    return _encoded(wire | {"kind": random.choice([5, None, [], {"kind": "net.flow"}])})


def _no_kind(wire: Wire, now_ms: int, random: Random) -> bytes:
    return _encoded({name: value for name, value in wire.items() if name != "kind"})


def _envelope_of_another_type(wire: Wire, now_ms: int, random: Random) -> bytes:
    """What every event may have, whatever its kind."""
    wrong: Wire = random.choice(
        [
            {"id": 5},
            {"source": ["agent"]},
            {"quality": "perfect"},
            {"attribution": "user"},
            {"seen": -1},
            {"start": {}},
            {"raw_ref": "r" * 1_025},
        ]
    )
    return _encoded(wire | wrong)


def _not_one_of(wire: Wire, now_ms: int, random: Random) -> bytes:
    return _encoded({"kind": "session", "user": "u", **_envelope(wire), "phase": "sleep"})


def _half_a_character(wire: Wire, now_ms: int, random: Random) -> bytes:
    """Half of a surrogate pair, which JSON can write and no text can hold."""
    return _encoded(wire | {"device": "BROKEN"}).replace(b"BROKEN", rb"\ud83d")


def _byte_order_mark(wire: Wire, now_ms: int, random: Random) -> bytes:
    return b"\xef\xbb\xbf" + _encoded(wire)


def _not_a_number(wire: Wire, now_ms: int, random: Random) -> bytes:
    """Which many programs write though JSON does not know it."""
    whole = _encoded({**FLOW, **_envelope(wire), "bytes_out": "BROKEN"})
    return whole.replace(b'"BROKEN"', random.choice([b"NaN", b"Infinity", b"-Infinity", b"0x10", b"1_000"]))


def _two_in_one(wire: Wire, now_ms: int, random: Random) -> bytes:
    return _encoded(wire) + random.choice([b"", b" ", b","]) + _encoded(wire)


def _no_pair(wire: Wire, now_ms: int, random: Random) -> bytes:
    """An element of an array that looks like a log shipper's pair of time and record, and is none."""
    return random.choice([b"[]", b"[1,2,3]", b'["now",' + _encoded(wire) + b"]", b"[[1]]"])


def _pair_out_of_time(wire: Wire, now_ms: int, random: Random) -> bytes:
    """A pair whose time is no number of seconds that can be."""
    return b"[%d,%b]" % (random.choice([now_ms, 10**12, 10**15]), _encoded(wire))


def _empty(wire: Wire, now_ms: int, random: Random) -> bytes:
    return random.choice([b"", b" ", b"\n\n", b"\t"])


def _array_cut_off(wire: Wire, now_ms: int, random: Random) -> bytes:
    return b"[" + _encoded(wire) + random.choice([b"", b",", b",{", b"}"])


def _too_many_elements(wire: Wire, now_ms: int, random: Random) -> bytes:
    """More than could be events, whatever they are."""
    many = random.randrange(1_001, 5_000)
    return random.choice([b"[" + b",".join([b"1"] * many) + b"]", b"\n".join([b"{}"] * many)])


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
    "kind of another type": (_kind_of_another_type, "wrong_type"),
    "no kind": (_no_kind, "missing_field"),
    "envelope of another type": (_envelope_of_another_type, "wrong_type"),
    "not one of the values": (_not_one_of, "wrong_type"),
    "half a character": (_half_a_character, "malformed_json"),
    "byte order mark": (_byte_order_mark, "malformed_json"),
    "not a number": (_not_a_number, "malformed_json"),
    "two in one": (_two_in_one, "malformed_json"),
}
"""By a name for people: the maker and the reason of the dead letter."""
PAIRS: Final[dict[str, tuple[Maker, str]]] = {
    "no pair": (_no_pair, "wrong_type"),
    "pair out of time": (_pair_out_of_time, "bad_time"),
}
"""Elements of arrays only: elsewhere they would be arrays themselves."""
WHOLE: Final[dict[str, tuple[Maker, str]]] = {
    "empty": (_empty, "malformed_json"),
    "array cut off": (_array_cut_off, "malformed_json"),
    "too many elements": (_too_many_elements, "too_many_events"),
}
"""Messages that are bad as a whole: one dead letter, whatever is in them."""
IN_ARRAY: Final = (
    *(name for name, (_, reason) in MAKERS.items() if reason not in ("malformed_json", "nested_too_deep")),
    *PAIRS,
)
"""Those that are JSON and leave the other elements of an array readable."""


def _envelope(wire: Wire) -> Wire:
    return {"device": wire["device"], "time": wire["time"]}


def make(name: str, wire: Wire, now_ms: int, random: Random) -> tuple[bytes, str]:
    """The bytes of one bad event and the reason that its dead letter must have."""
    maker, reason = (MAKERS | PAIRS | WHOLE)[name]
    return maker(wire, now_ms, random), reason
