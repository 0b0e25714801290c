"""The comparison with other engines: readings, what is not there, what fails, and the page of it."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from benchmarks.brute_force import Pair
from benchmarks.generate import flows
from benchmarks.peers import compare as comparison
from benchmarks.peers.compare import compare, missing, one
from benchmarks.peers.page import page
from benchmarks.peers.peer import Peer, Task
from benchmarks.peers.readings import all_bursts, expected
from benchmarks.peers.table import PEERS, THENWIRE
from benchmarks.result import PeerResult, Report, Result
from benchmarks.run import measure
from benchmarks.works import w1, w3

PAIR = Pair(score=4, port=None, kinds=("app.crash",), window_ms=10, by=("device", "app"))
EVENTS = 20_000


def line(kind: str, time: int, **more: object) -> bytes:
    return json.dumps({"kind": kind, "device": "d", "time": time, "app": "a", **more}).encode()


def flow(time: int) -> bytes:
    return line("net.flow", time, score=5, port=1)


@pytest.mark.parametrize(
    ("reading", "count"),
    [
        # (1,5) (1,11) (3,5) (3,11), and (20,30) at the window; (20,31) is beyond it.
        ("all", 5),
        ("first", 3),
        ("asof", 3),
        # 5 uses up both, so nothing is left for 11.
        ("latest", 2),
    ],
)
def test_each_reading_counts_as_it_says(reading: str, count: int) -> None:
    crashes = [line("app.crash", time) for time in (5, 11, 30, 31)]
    lines = sorted([flow(1), flow(3), flow(20), *crashes], key=lambda raw: json.loads(raw)["time"])
    assert expected("w1", lines, [PAIR], reading) == count


def test_every_choice_of_a_burst_counts() -> None:
    minutes = 60_000
    events = [flow(number * minutes) for number in range(1, 7)]
    events += [line("app.crash", 8 * minutes), line("app.crash", 9 * minutes)]
    # For the burst that began in the first minute the second end is too late by a millisecond.
    events += [line("security.context", 31 * minutes), line("security.context", 31 * minutes + 1)]
    assert all_bursts(events) == 2 * 1 + 2 * 2


def test_who_is_not_installed_is_named() -> None:
    absent = Peer(
        name="absent", module="x", needs=("no_such_engine",), style="batch", reading={"w1": "all"}, how="",
        cannot="",
    )  # fmt: skip
    assert missing(absent) == "no_such_engine"
    assert compare("short", 1, 100, print, [absent]) == ([], ["absent: not installed (no_such_engine)"])


def test_one_that_fails_and_one_that_counts_wrong_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def peer(name: str, module: str, reading: str) -> Peer:
        return Peer(
            name=name, module=module, style="per event", reading={"w1": reading}, how="so", cannot="that"
        )

    peers = [peer("broken", "no_such_file", "all"), peer("wrong", "ours:reference", "all")]
    monkeypatch.setitem(comparison.ROUNDS, "short", 1)
    said: list[str] = []
    results, skipped = compare("short", 2, EVENTS, said.append, peers)
    found = {result.peer: result for result in results}
    assert set(found) == {"thenwire", "by hand", "wrong"}
    assert found["thenwire"].right
    assert found["by hand"].right
    assert found["thenwire"].cpu_ratio == 1.0
    assert not found["wrong"].right
    assert found["wrong"].count == found["thenwire"].count < found["wrong"].expected
    assert len(skipped) == 1
    assert skipped[0].startswith("broken, w1: ended with code 1: ")
    assert said == ["measuring w1 with broken, wrong ..."]
    shown = page(
        Report(form="short", seed=1, python="3", msgspec="0", machine="m", results=[], peers=results)
    )
    right = found["wrong"].expected
    assert f"{found['wrong'].count} WRONG, {right} are right (all)" in shown
    assert shown.index("| by hand |") < shown.index("| wrong ")


INSTALLED = [(peer, work) for peer in PEERS for work in peer.reading if not (missing(peer) or peer.java)]


@pytest.mark.skipif(not INSTALLED, reason="no peer is installed: pip install 'thenwire[bench]'")
@pytest.mark.parametrize(("peer", "work"), INSTALLED or [(THENWIRE, "w1")])
def test_each_installed_peer_counts_right_in_its_reading(peer: Peer, work: str, tmp_path: Path) -> None:
    lines = list(flows.lines(EVENTS, 2, 400))
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(lines) + b"\n")
    pairs = w3.pairs(int(work.removeprefix("w3-"))) if work.startswith("w3-") else [w1.PAIR]
    task = Task(work, str(path), [(p.score, p.port or 0, p.kinds[0], p.window_ms) for p in pairs])
    assert one(peer.module, task).count == expected(work, lines, pairs, peer.reading[work])


def test_the_table_names_files_that_are_there() -> None:
    for peer in (THENWIRE, *PEERS):
        module = peer.module.partition(":")[0]
        assert find_spec(f"benchmarks.peers.{module}") is not None, peer.name
        assert peer.how, peer.name
        assert set(peer.reading.values()) <= {"all", "first", "asof", "latest"}, peer.name
    assert all(peer.cannot for peer in PEERS)


def test_the_page_marks_what_was_not_run_and_has_a_line_for_each(result: Callable[..., PeerResult]) -> None:
    """Facts are set beside ours by the floor of their own run."""
    peers = [result(peer="thenwire"), result(peer="Other", cpu_ratio=3.0), result(peer="Other", work="w2")]
    works = [_w1_at(2.0)]
    report = Report(form="long", seed=1, python="3", msgspec="0", machine="m", results=works, peers=peers)
    shown = page(report)
    assert shown.count("| Other ") == 1
    assert "Other works: w2 1" in shown
    # 8.2 s over 0.30 s, over twice the floor.
    assert "| CORE (pycer 0.1) | about 14 | | right for one rule | not run here: measured once" in shown


@pytest.fixture
def result() -> Callable[..., PeerResult]:
    base = PeerResult(
        peer="x", version="1", work="w1", style="per event", reading="all", how="h", cannot="c", events=10,
        rounds=1, count=1, expected=1, same=True, cpu=1.0, wall=1.0, resident=1, cpu_ratio=1.0,
        wall_ratio=1.0,
    )  # fmt: skip
    return lambda **changes: msgspec.structs.replace(base, **changes)


def _w1_at(to_floor: float) -> Result:
    measured = measure(msgspec.structs.replace(w1.make(list(flows.lines(300, 1))), chains=None), 1)
    return msgspec.structs.replace(measured, to_floor=to_floor)
