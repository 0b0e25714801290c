"""What a run writes besides its figures: promises, the picture, the history of earlier runs."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest

from benchmarks import __main__ as command
from benchmarks import history, plot
from benchmarks.devices import one as devices_in_this_process
from benchmarks.generate import flows
from benchmarks.promises import promises
from benchmarks.report import markdown
from benchmarks.result import AlertCost, DevicesResult, LatencyResult, NatsResult, Report, Result
from benchmarks.run import measure
from benchmarks.works import w1


@pytest.fixture(scope="module")
def measured() -> Result:
    result = measure(msgspec.structs.replace(w1.make(list(flows.lines(300, 1))), chains=None), 1)
    return msgspec.structs.replace(
        result,
        to_floor=1.5,
        to_reference=1.1,
        floor_seconds=0.0003,
        reference_seconds=0.00036,
        seconds=0.012,
        alert=AlertCost(20.0, 4.0, 900),
    )


@pytest.fixture
def report(measured: Result) -> Report:
    nats = NatsResult(
        events_per_message=1, events=10, rounds=1, alerts=1, expected=1, empty_events_per_second=100.0,
        decode_events_per_second=95.0, engine_events_per_second=92.0, share=0.92, share_of_decode=0.97,
        empty_cpu_us=1.0, decode_cpu_us=1.1, engine_cpu_us=1.2,
    )  # fmt: skip
    latency = LatencyResult(
        events=10, most_per_second=50.0, per_second=25.0, alerts=2, expected=2, p50_ms=1.0, p99_ms=9.0,
        max_ms=11.0,
    )  # fmt: skip
    devices = DevicesResult(
        state="idle", about="so", devices=1_000, events=2_000, bytes_per_device=240.0, microseconds=0.5,
        longest_collection_ms=1.0, resident=2**20,
    )  # fmt: skip
    return Report(
        form="long", seed=1, python="3.11.7", msgspec="0", machine="m", results=[measured], nats=[nats],
        latency=latency, devices=[devices], skipped=["x: not installed (x)"],
    )  # fmt: skip


def test_promises_that_hold_and_those_that_do_not(report: Report, measured: Result) -> None:
    found = promises(report)
    assert len(found) == 7
    assert all(promise.holds for promise in found)
    worse = msgspec.structs.replace(
        report,
        results=[
            msgspec.structs.replace(measured, to_floor=1.71, to_reference=1.16, alert=AlertCost(22.0, 4.0, 9))
        ],
        nats=[msgspec.structs.replace(report.nats[0], share=0.89)],
        latency=msgspec.structs.replace(report.latency, p99_ms=20.5),
        devices=[
            msgspec.structs.replace(report.devices[0], bytes_per_device=401.0, longest_collection_ms=21.0)
        ],
    )
    assert not any(promise.holds for promise in promises(worse))
    assert markdown(report).count("| yes |\n") == 7
    assert markdown(worse).count("| NO |\n") == 7


def test_bytes_are_promised_of_devices_and_of_what_they_hold(report: Report) -> None:
    def kept(state: str, resident: float, held: float | None, each: int) -> list[bool]:
        devices = msgspec.structs.replace(
            report.devices[0], state=state, bytes_per_device=resident, held_per_device=held, of_device=each
        )
        found = promises(
            msgspec.structs.replace(report, results=[], nats=[], latency=None, devices=[devices])
        )
        return [promise.holds for promise in found if "bytes" in promise.about]

    assert [kept("quiet", bytes_, None, 1) for bytes_ in (1_073.0, 1_074.0)] == [[True], [False]]
    assert [kept("apps", bytes_, 1.0, 1) for bytes_ in (8_589.0, 8_590.0)] == [[True], [False]]
    # What was forgotten counts as gone, whatever the process has grown by.
    assert [kept("ended", 900.0, held, 1) for held in (400.0, 401.0)] == [[True], [False]]
    assert [kept("kept", 9_000.0, held, 16) for held in (4_000.0, 4_001.0)] == [[True], [False]]
    assert [kept("robust-3", 234.0 * 10 + extra, None, 10) for extra in (0, 1)] == [[True], [False]]
    assert kept("waiting", 1e9, None, 1) == []


def test_the_page_has_every_part_and_says_what_was_skipped(report: Report) -> None:
    page = markdown(report)
    for text in ("| w1 | 1 |", "## Through NATS", "## Many devices", "- x: not installed (x)", "| 9.00 |"):
        assert text in page, text
    wrong = msgspec.structs.replace(report, latency=msgspec.structs.replace(report.latency, alerts=1))
    assert wrong.wrong == ["latency: 1 alerts, 2 are right"]


def test_the_picture_is_well_formed_and_its_bars_are_in_proportion(report: Report) -> None:
    root = ElementTree.fromstring(plot.svg(report))
    bars = [float(e.get("width", "")) for e in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
    floor, by_hand, engine = bars
    assert by_hand / floor == pytest.approx(1.2, rel=0.01)
    # Forty times the floor is cut at twenty.
    assert engine / floor == pytest.approx(20, rel=0.01)
    assert "40.00 (cut)" in plot.svg(report)


def test_runs_are_remembered_and_compared_with_those_alike(report: Report, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    for to_floor in (1.5, 1.6, 2.4):
        result = msgspec.structs.replace(report.results[0], to_floor=to_floor)
        history.remember(msgspec.structs.replace(report, results=[result]), file)
    history.remember(msgspec.structs.replace(report, machine="another"), file)
    runs = history.read(file)
    assert [run.figures["w1 x floor"] for run in runs] == [1.5, 1.6, 2.4, 1.5]
    heads, *rows = history.table(runs[:3])
    assert len(heads) == 5
    assert next(row for row in rows if row[0] == "w1 x floor")[1:] == ["1.50", "1.60", "2.40", "1.50 !"]
    assert next(row for row in rows if row[0] == "latency p99 ms")[-1] == "1.00"
    assert len(history.table(runs)[0]) == 3, "the last run is of a machine with no other run"
    file.write_bytes(file.read_bytes() + b"{}\n")
    with pytest.raises(ValueError, match=r"line 5 of history\.jsonl is no run"):
        history.read(file)


def test_history_on_the_command_line(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "history.jsonl"
    monkeypatch.setattr(history.read, "__defaults__", (file,))
    assert command.main(["history"]) == 2
    assert "nothing is remembered yet: python -m benchmarks --remember" in capsys.readouterr().err
    history.remember(report, file)
    assert command.main(["history"]) == 0
    assert "w1 x floor" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "events"),
    [
        ("idle", 20),
        ("ended", 20),
        ("waiting", 10),
        ("kept", 160),
        ("quiet", 60),
        ("apps", 360),
        ("robust", 200),
        ("robust-3", 200),
        ("novelty", 1_100),
    ],
)
def test_many_devices_are_fed_what_their_state_says(state: str, events: int) -> None:
    found = devices_in_this_process(state, 10)
    assert (found.state, found.devices, found.events) == (state, 10, events)
    known = found.held_per_device
    assert known is not None
    # What fits nothing, and what is over, leaves nothing behind; the rest does.
    assert (known < 100) == (state in ("idle", "ended"))
