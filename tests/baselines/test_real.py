"""Each estimator on recorded traffic that lies beside the project, against the whole series at once."""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from one import DAY, MINUTE, One
from test_robust import batch, cells

from engine.baselines.hours import BINS, HALF_LIFE_MS, hour_of_week
from engine.baselines.novelty import OVER_MS, STEPS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = (
    "zeek/ctu_botnet230_njrat_labeled/conn.log.labeled",
    "zeek/slips_test9_mixed_json/conn.log",
    "suricata/slips_test6_malicious_eve.json.gz",
)
Flow = tuple[int, str, str, int, int]
"""Milliseconds, who, to whom, which port, bytes sent."""


def flows(relative: str) -> list[Flow]:
    """Read without the project's own sources, in order of time."""
    path = DATA / relative
    if not path.exists():
        pytest.skip(f"{relative} is not beside the project")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found: list[Flow] = []
    names: list[str] = []
    for line in raw.decode("utf-8", "replace").splitlines():
        if line.startswith("#fields"):
            names = line.split("\t")[1:]
        if not line or line.startswith("#"):
            continue
        if line.startswith("{"):
            row = msgspec.json.decode(line)
            if row.get("event_type") not in (None, "flow"):
                continue
        else:
            row = dict(zip(names, line.split("\t"), strict=False))
        if "event_type" in row:
            sent, when = row["flow"]["bytes_toserver"], row["flow"]["start"]
            time = int(np.datetime64(when[:23], "ms").astype(int))
            found.append((time, row["src_ip"], row["dest_ip"], row.get("dest_port", 0), sent))
            continue
        sent = row.get("orig_bytes", 0)
        found.append(
            (
                int(float(row["ts"]) * 1000),
                row["id.orig_h"],
                row["id.resp_h"],
                int(row["id.resp_p"]),
                0 if sent == "-" else int(sent),
            )
        )
    assert len(found) > 100
    # Some count from the beginning of the recording.
    return sorted((time + 30 * DAY, *rest) for time, *rest in found)


@pytest.mark.parametrize("relative", FILES)
def test_robust(relative: str) -> None:
    buckets: dict[int, int] = defaultdict(int)
    one = One("robust", every_ms=MINUTE, warmup=10**6)
    for time, _, _, _, sent in flows(relative):
        one.observe(time, sent)
        buckets[time // MINUTE] += sent
    values = [float(buckets[bucket]) for bucket in sorted(buckets)]
    assert cells(one)[0] == values[-1]
    if len(values) > 2:
        assert cells(one)[1:3] == pytest.approx(batch(values[:-1])[:2], rel=1e-9)


@pytest.mark.parametrize("relative", FILES)
def test_novelty(relative: str) -> None:
    one = One("novelty", names=("device",))
    # As if three days had gone by already.
    first = flows(relative)[0][0]
    for who in {flow[1] for flow in flows(relative)}:
        one.fix({"seen": []}, first, key=who)  # type: ignore[arg-type]
    recent: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    unseen = 0
    for time, who, whom, port, _ in flows(relative):
        known = recent[who]
        expected = (whom, port) not in known
        assert one.observe(time, (whom, port), (who,)).unseen is expected
        unseen += expected
        # Within a step of OVER a value keeps its place among those that may have to go.
        step = time // (OVER_MS // STEPS)
        if not expected and known[whom, port] < step:
            del known[whom, port]
        known.setdefault((whom, port), step)
        if len(known) > 64:
            del known[next(iter(known))]
    assert unseen


@pytest.mark.parametrize("relative", FILES)
def test_cadence(relative: str) -> None:
    one = One("cadence", names=("device", "ip", "port"))
    times: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    answered = 0
    for time, who, whom, port, _ in flows(relative):
        told = one.observe(time, None, (who, whom, port))
        seen = times[who, whom, port]
        if not seen or seen[-1] != time:
            seen.append(time)
        intervals = np.diff(np.array(seen, dtype=float))[-8:]
        median = float(np.median(intervals)) if len(intervals) >= 6 else 0.0
        if median < 5_000:
            assert told.regularity is None
        else:
            answered += 1
            assert told.regularity == pytest.approx(1 - np.median(np.abs(intervals - median)) / median)
    if "njrat" in relative:
        assert answered


@pytest.mark.parametrize("relative", FILES)
def test_fanout(relative: str) -> None:
    one = One("fanout", names=("device",), every_ms=10 * MINUTE, warmup=1)
    windows: dict[tuple[str, int], set[str]] = defaultdict(set)
    compared = 0
    for time, who, whom, _, _ in flows(relative):
        told = one.observe(time, whom, (who,))
        window = windows[who, time // (10 * MINUTE)]
        window.add(whom)
        if told.fanout is not None:
            compared += 1
            assert told.fanout == pytest.approx(len(window), rel=0 if len(window) <= 64 else 0.13)
    assert compared or len({key[1] for key in windows}) == 1


@pytest.mark.parametrize("relative", FILES)
def test_hours(relative: str) -> None:
    """The recordings are hours long; stretched so that each minute is a day they fill the hours of many
    weeks.
    """
    one = One("hours", names=("device",))
    real = flows(relative)
    times = np.array([real[0][0] + (flow[0] - real[0][0]) * 600 for flow in real])
    times = times[times < times[0] + 300 * DAY]
    hours = np.array([hour_of_week(int(t)) for t in times])
    for number, time in enumerate(times.tolist()):
        one.rows.idle = 10**9
        unusual = one.observe(time, key=("d1",)).unusual
        if time // MINUTE - times[0] // MINUTE >= 14 * 1_440 and number % 25 == 0:
            weights = 0.5 ** ((time - times[:number]) / HALF_LIFE_MS)
            same = weights[hours[:number] == hours[number]].sum()
            assert unusual == pytest.approx(1 - (same + 1) / (weights.sum() + BINS), abs=1e-5)


@pytest.mark.parametrize("relative", FILES)
def test_prevalence(relative: str) -> None:
    """Hosts stand for devices here; there are few, so each is taken for forty. A scan has more ports than a
    key holds values, so they are folded.
    """
    one = One("prevalence", names=())
    devices: set[str] = set()
    having: dict[int, set[str]] = defaultdict(set)
    for number, (time, who, whom, port, _) in enumerate(flows(relative)):
        device, port = f"{who} {whom} {number % 40}", port % 500
        told = one.observe(time, (device, port), ())
        if len(devices) >= 50:
            exact = len(having[port]) / len(devices)
            assert told.prevalence == pytest.approx(min(1.0, exact), rel=0.2, abs=1e-9)
            if len(devices) <= 64:
                assert told.prevalence == exact
        else:
            assert told.prevalence is None
        devices.add(device)
        having[port].add(device)
    assert len(devices) > 50
