"""``python -m benchmarks.devices STATE DEVICES``: memory and time with many devices, a process each.

What is known of each device stands in ``STATES``. Two figures say how much memory it takes: *resident*, what
the process has grown by, which has the allocator's gaps in it; and *held*, the sizes of all objects that the
matcher refers to, which is the same on every machine, and is worked out up to ``WALKED`` devices.

Two say what Python's collector of cycles does. The longest pause while events flow is measured with the
collector set as the service sets it (``engine.service.collector``). A library sets nothing of the whole
process, so a program of its own may have more: *in full* is how long one collection over everything takes,
with nothing left out. Both in CPU time: a collection waits for nothing, and other processes do not count.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time, thread_time

import msgspec

import dsl
from benchmarks.generate import many
from benchmarks.result import DevicesResult
from benchmarks.run import BATCH, ONE_RECORD
from benchmarks.state import measure as walk
from benchmarks.state import resident_bytes
from benchmarks.works import w1
from dsl.model import RuleSet
from engine import Matcher, packs
from engine.events import BadEvent
from engine.service.collector import short_pauses

WALKED = 100_000
_CHUNK = 2_000


class State(msgspec.Struct, frozen=True):
    """What is known of each device.

    Attributes:
        about: in words.
        rules: makes the rule set.
        learn: baselines that are fed though no rule reads them.
        lines: the events, for so many devices.
        things: what is counted of a device, where it is not the device itself,
        of_device: and how many of it each has.
        rest: the rows of baselines are at rest, as they are of a device that is silent for long.
    """

    about: str
    rules: Callable[[], RuleSet]
    lines: Callable[[int], Iterator[bytes]]
    learn: tuple[str, ...] = ()
    things: str = "device"
    of_device: int = 1
    rest: bool = False


def _w1() -> RuleSet:
    return dsl.load_text(w1.RULES)


def _pack() -> RuleSet:
    return dsl.load([packs.resolve("mobile")])


_ROW = ("an app", many.APPS, True)
STATES = {
    "idle": State("two events, neither of which fits the one rule", _w1, many.idle),
    "ended": State("a run of the one rule that is over", _w1, many.ended),
    "waiting": State("one kept event and one run of the one rule that waits", _w1, many.waiting),
    "kept": State(
        f"{many.KEPT} kept events, and no run of the one rule", _w1, many.kept, (), "a kept event", many.KEPT
    ),
    "quiet": State("posture, state and lookups under the mobile pack, no app", _pack, many.quiet, rest=True),
    "apps": State("that and ten apps with flows and a sensor each", _pack, many.apps, rest=True),
    "robust": State(
        "a robust baseline of each of ten apps",
        lambda: dsl.load_text(many.ROBUST),
        many.rows,
        ("sent",),
        *_ROW,
    ),
    "robust-3": State(
        "three robust baselines of each of ten apps",
        lambda: dsl.load_text(many.ROBUST_THREE),
        many.rows,
        ("sent", "received", "parcels"),
        *_ROW,
    ),
    "novelty": State(
        f"a novelty baseline with {many.VALUES} values of each of ten apps",
        lambda: dsl.load_text(many.NOVELTY),
        many.values,
        ("domains",),
        *_ROW,
    ),
}
SIZES = {
    "short": {"idle": (10_000,), "waiting": (10_000,), "apps": (1_000,)},
    "long": {
        "idle": (10_000, 100_000, 1_000_000),
        "ended": (100_000,),
        "waiting": (10_000, 100_000, 1_000_000),
        "kept": (20_000,),
        "quiet": (10_000, 1_000_000),
        "apps": (10_000, 100_000),
        "robust": (40_000,),
        "robust-3": (40_000,),
        "novelty": (10_000,),
    },
}


def measure(form: str) -> list[DevicesResult]:
    """All sizes of a form."""
    return [_in_a_process(state, devices) for state, sizes in SIZES[form].items() for devices in sizes]


def _in_a_process(state: str, devices: int) -> DevicesResult:
    command = [sys.executable, "-m", "benchmarks.devices", state, str(devices)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], timeout=3_600
    )
    return msgspec.json.decode(done.stdout, type=DevicesResult)


def one(name: str, devices: int) -> DevicesResult:
    """This many devices in this process."""
    state = STATES[name]
    matcher = Matcher(state.rules(), also_learn=state.learn)
    walked = devices <= WALKED
    empty = walk(matcher).bytes if walked else 0
    before = resident_bytes()
    with short_pauses():
        longest, events, seconds = _feed(matcher, state.lines(devices))
    if state.rest:
        _rest(matcher)
    begin = thread_time()
    gc.collect()
    full = thread_time() - begin
    resident = resident_bytes()
    return DevicesResult(
        state=name,
        about=state.about,
        devices=devices,
        events=events,
        bytes_per_device=(resident - before) / devices,
        held_per_device=(walk(matcher).bytes - empty) / devices if walked else None,
        things=state.things,
        of_device=state.of_device,
        microseconds=seconds / events * 1e6,
        longest_collection_ms=longest * 1e3,
        full_collection_ms=full * 1e3,
        resident=resident,
    )


def _feed(matcher: Matcher, lines: Iterator[bytes]) -> tuple[float, int, float]:
    """Feed all; gives the longest pause and CPU time, both in seconds, and how many events there were."""
    longest = began = seconds = 0.0
    events = 0

    def collecting(phase: str, _: dict[str, int]) -> None:
        nonlocal began, longest
        if phase == "start":
            began = thread_time()
        else:
            longest = max(longest, thread_time() - began)

    gc.callbacks.insert(0, collecting)
    chunk: list[bytes] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == _CHUNK:
            seconds += _feed_chunk(matcher, chunk, events)
            events += len(chunk)
            chunk.clear()
    seconds += _feed_chunk(matcher, chunk, events)
    gc.callbacks.remove(collecting)
    return longest, events + len(chunk), seconds


def _feed_chunk(matcher: Matcher, chunk: list[bytes], events: int) -> float:
    begin = process_time()
    for at in range(0, len(chunk), BATCH):
        matcher.feed_many(chunk[at : at + BATCH], (events + at + 1) * ONE_RECORD, ONE_RECORD, _never_bad)
    return process_time() - begin


def _never_bad(bad: BadEvent, position: int) -> None:
    raise bad


def _rest(matcher: Matcher) -> None:
    """As when other devices have taken the place of these among the rows in use."""
    matcher.baselines.begin_cut()
    for rows in matcher.baselines._stores.values():
        while rows._older:
            rows.settle(1 << 30)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(one(sys.argv[1], int(sys.argv[2]))))
