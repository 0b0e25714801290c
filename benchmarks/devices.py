"""``python -m benchmarks.devices``: memory and time with many devices, each size in a process of its own.

What is known of each device:

- ``idle``: it has sent events, none of which fits a rule.
- ``waiting``: one event of it is kept, and a run waits for the next.
- ``apps``: ten apps with flows in two buckets each, under the mobile pack with all its baselines.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time

import msgspec

import dsl
from benchmarks.generate.draw import START_MS
from benchmarks.generate.mobile import flow
from benchmarks.result import DevicesResult
from benchmarks.run import ONE_RECORD
from benchmarks.state import resident_bytes
from benchmarks.works import w1
from engine import Matcher, packs

SIZES = {
    "short": {"idle": (10_000,), "waiting": (10_000,), "apps": (1_000,)},
    "long": {
        "idle": (10_000, 100_000, 1_000_000),
        "waiting": (10_000, 100_000, 1_000_000),
        "apps": (10_000, 100_000),
    },
}
ABOUT = {
    "idle": "two events of each device, none of which fits the one rule",
    "waiting": "one kept event and one run of the one rule that waits",
    "apps": "ten apps of each device, two buckets of flows each, under the mobile pack",
}
_APPS = 10
_CHUNK = 2_000


def measure(form: str) -> list[DevicesResult]:
    """All sizes of a form."""
    return [_in_a_process(state, devices) for state, sizes in SIZES[form].items() for devices in sizes]


def _in_a_process(state: str, devices: int) -> DevicesResult:
    command = [sys.executable, "-m", "benchmarks.devices", state, str(devices)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], timeout=3_600
    )
    return msgspec.json.decode(done.stdout, type=DevicesResult)


def one(state: str, devices: int) -> DevicesResult:
    """This many devices in this process."""
    ruleset = dsl.load([packs.resolve("mobile")]) if state == "apps" else dsl.load_text(w1.RULES)
    matcher = Matcher(ruleset)
    pauses = [0.0]
    began = 0.0

    def collecting(phase: str, _: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = perf_counter()
        else:
            pauses.append(perf_counter() - began)

    gc.collect()
    before = resident_bytes()
    gc.callbacks.append(collecting)
    feed = matcher.feed_json
    events = position = 0
    seconds = 0.0
    chunk: list[bytes] = []
    for line in _lines(state, devices):
        chunk.append(line)
        if len(chunk) == _CHUNK:
            begin = process_time()
            for event in chunk:
                position += ONE_RECORD
                feed(event, position)
            seconds += process_time() - begin
            events += len(chunk)
            chunk.clear()
    for event in chunk:
        position += ONE_RECORD
        feed(event, position)
    gc.callbacks.remove(collecting)
    resident = resident_bytes()
    return DevicesResult(
        state=state,
        about=ABOUT[state],
        devices=devices,
        events=events + len(chunk),
        bytes_per_device=(resident - before) / devices,
        microseconds=seconds / max(events, 1) * 1e6,
        longest_collection_ms=max(pauses) * 1e3,
        resident=resident,
    )


def _lines(state: str, devices: int) -> Iterator[bytes]:
    if state == "apps":
        # In order of time, as from a fleet, and within what counts as in time.
        for bucket in range(2):
            for app in range(_APPS):
                time = START_MS + bucket * 300_000 + app * 1_000
                for device in range(devices):
                    yield flow(time, f"phone-{device:07}", app, 5_000 + 97 * app)
        return
    scores = ("0.50", "1.25") if state == "idle" else ("5.50",)
    for number, score in enumerate(scores):
        for device in range(devices):
            time = START_MS + number * 60_000 + device * 50_000 // devices
            yield (
                f'{{"kind":"net.flow","device":"device-{device:07}","time":{time},"id":"{number}-{device}",'
                f'"source":"bench","app":"com.example.app01","process":"App01","host":"edge.example",'
                f'"ip":"198.51.100.1","port":443,"bytes_out":5,"score":{score}}}'
            ).encode()


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(one(sys.argv[1], int(sys.argv[2]))))
