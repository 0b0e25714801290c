"""The shipped mobile pack over what a fleet of phones sends: all of it, and the rule `an1756 ios` alone."""

from __future__ import annotations

import msgspec

import dsl
from benchmarks.generate.draw import START_MS
from benchmarks.generate.mobile import WINDOW_MS, crash, flow, spike
from benchmarks.references import mobile as reference
from benchmarks.references import pack
from benchmarks.works.work import Work
from engine import packs

_BUCKET_MS = 300_000
_HISTORY_BUCKETS = 40
"""More than the 30 closed buckets that the baseline of the pack needs."""


_RULE = "an1756_ios"


def make(lines: list[bytes]) -> Work:
    """The work over these events with the whole pack."""
    return Work(
        name="mobile",
        about="the whole mobile pack as shipped over a fleet's mix of kinds; counted: `an1756 ios`; by hand: "
        "this rule and the baselines, no other rule",
        ruleset=dsl.load([packs.resolve("mobile")]),
        lines=lines,
        reference=pack.count,
        counted=frozenset({_RULE}),
        budget=3.0,
        whole=False,
    )


def make_one(lines: list[bytes]) -> Work:
    """The work over these events with one rule of the pack: what the reference does."""
    pack = dsl.load([packs.resolve("mobile")])
    return Work(
        name="mobile-1",
        about="the rule `an1756 ios` of the mobile pack, with its baseline and guards, over the same events",
        ruleset=msgspec.structs.replace(pack, rules={_RULE: pack.rules[_RULE]}),
        lines=lines,
        reference=reference.count,
        chains=chains,
    )


def chains(count: int, alerting: bool) -> tuple[list[bytes], list[bytes]]:
    """A history of the app on one device, which the others are judged by; then a chain a device."""
    begin = START_MS + _BUCKET_MS * _HISTORY_BUCKETS
    before = [flow(time, "phone-history", 1, 20_000) for time in range(START_MS, begin, _BUCKET_MS)]
    gap = WINDOW_MS if alerting else WINDOW_MS + 1
    found = [spike(begin, f"phone-{number:06}", 1) for number in range(count)]
    found += [crash(begin + gap, f"phone-{number:06}", 1) for number in range(count)]
    return before, found
