"""``--warm`` and a rule that is added while the service runs, with a real server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from service_bench import Bench, scenario

from engine.cli.rules import status_lines
from engine.service.rules import warming
from engine.service.rules import watch as watching
from engine.service.rules.apart import Apart
from engine.service.rules.processor import ReloadingProcessor

EVENTS = """
EVENT a { host: string  x: int? }
EVENT b { host: string }
EVENT c { host: string }
"""
CHAIN = "RULE chain { BY device, host  WHEN a [x > 3] THEN b WITHIN 10m  SEVERITY low }\n"
ADDED = "RULE added { BY device, host  WHEN a [x > 5] THEN c WITHIN 10m  SEVERITY high }\n"
OTHER = "RULE other { BY device, host  WHEN b THEN c WITHIN 10m  SEVERITY high }\n"
DAYS = 48 * 3_600_000


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.05)


def write(bench: Bench, *rules: str) -> None:
    (bench.rules / "x.rule").write_text(EVENTS + "".join(rules))


def said(bench: Bench) -> list[tuple[str, list[str]]]:
    """The rule and the evidence of each alert."""
    return [
        (alert["rule"]["name"], [step["event_id"] for step in alert["steps"]]) for _, alert, _ in bench.said
    ]


class Held:
    """A fill that waits until it is let go of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.go = asyncio.Event()
        whole = warming.Warming._is_near

        async def is_near(this: Any) -> bool:
            self.begun += 1
            if not self.go.is_set():
                await asyncio.sleep(0.01)
                return False
            return await whole(this)

        monkeypatch.setattr(warming.Warming, "_is_near", is_near)


async def filling(bench: Bench, held: Held) -> ReloadingProcessor:
    """A service with one rule and one event, and a set with a further rule that is being filled."""
    write(bench, CHAIN)
    processor = await bench.start(warm_ms=DAYS)
    await bench.send("a", x=9)
    await bench.until(lambda: processor.events == 1)
    write(bench, CHAIN, ADDED)
    await bench.until(lambda: held.begun > 0)
    return processor


def test_a_rule_that_is_added_knows_the_past_and_says_nothing_of_it(
    tmp_path: Path, binary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "thenwire.service")

    async def act(bench: Bench) -> None:
        write(bench, CHAIN)
        processor = await bench.start(warm_ms=DAYS)
        await bench.send("a", x=9, host="old")
        await bench.send("c", host="old")
        await bench.send("a", x=9)
        await bench.send("a", x=4)
        await bench.until(lambda: processor.events == 3)
        write(bench, CHAIN, ADDED)
        await bench.until(lambda: processor.reloads == 1)
        report = processor.in_force.report
        assert report is not None
        by_rule = {one.rule: one for one in report.rules}
        assert (by_rule["chain"].state, by_rule["chain"].partial) == ("kept", 2)
        assert (by_rule["added"].state, by_rule["added"].partial) == ("filled", 1)
        assert report.filled_with is not None
        assert report.filled_with.first == 1
        # Its first half lies in the past; what was complete there is not said, and not revised.
        await bench.send("c")
        await bench.until(lambda: len(bench.said) == 1)
        await bench.send("a", x=8, host="old", time=bench.now - 35)
        await bench.send("b", host="h")
        await bench.until(lambda: len(bench.said) == 2)
        assert said(bench) == [("added", ["e3", "e5"]), ("chain", ["e4", "e7"])]
        # A crash right after it: the state knows what the fill has found.
        await bench.send("a", x=7, host="late")
        await bench.until(lambda: processor.events == 7)
        await bench.kill()
        processor = await bench.start(warm_ms=DAYS)
        await bench.send("c", host="late")
        await bench.until(lambda: len(bench.said) == 3)
        assert said(bench)[2:] == [("added", ["e8", "e9"])]
        await bench.stop()
        jetstream = bench.client.jetstream()
        assert [one.name for one in await jetstream.consumers_info("EVENTS")] == ["thenwire"]
        assert (await jetstream.stream_info("ALERTS")).state.messages == 3

    scenario(tmp_path, binary, act)
    assert "1 kept (2 matches under way), 0 drained" in caplog.text
    assert "1 new; 1 rule filled with the " in caplog.text
    assert "holds nothing from before" in caplog.text


def test_without_warm_it_begins_cold(tmp_path: Path, binary: Path) -> None:
    """The control of the test above."""

    async def act(bench: Bench) -> None:
        write(bench, CHAIN)
        processor = await bench.start()
        await bench.send("a", x=9)
        await bench.until(lambda: processor.events == 1)
        write(bench, CHAIN, ADDED)
        await bench.until(lambda: processor.reloads == 1)
        await bench.send("c")
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 1)
        assert said(bench) == [("chain", ["e1", "e3"])]
        await bench.stop()

    scenario(tmp_path, binary, act)


def test_a_rule_that_changed_is_filled_and_the_old_one_drains(tmp_path: Path, binary: Path) -> None:
    async def act(bench: Bench) -> None:
        write(bench, CHAIN)
        processor = await bench.start(warm_ms=DAYS)
        await bench.send("a", x=9)
        await bench.until(lambda: processor.events == 1)
        write(bench, CHAIN.replace("x > 3", "x > 4"))
        await bench.until(lambda: processor.reloads == 1)
        report = processor.in_force.report
        assert report is not None
        assert [(one.state, one.partial, one.anew) for one in report.rules] == [("drained", 1, 1)]
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 2)
        # Both knew the first half; these are two alerts of two versions.
        assert said(bench) == [("chain", ["e1", "e2"])] * 2
        assert len({alert["rule"]["hash"] for _, alert, _ in bench.said}) == 2
        await bench.stop()

    scenario(tmp_path, binary, act)


def test_the_service_works_meanwhile_and_a_newer_set_is_filled_instead(
    tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(bench: Bench) -> None:
        held = Held(monkeypatch)
        bench.settings = msgspec.structs.replace(bench.settings, endpoints=True)
        processor = await filling(bench, held)
        first = bench.watch.status()["filling"]
        shown = status_lines(bench.watch.status())
        assert f"{first['hash']} comes into force when its rules are filled: " in shown[1]
        assert (first["rules"], first["hash"] != processor.in_force.bundle.hash) == (("added",), True)
        answer = await bench.client.request("thenwire.api.thenwire.status", b"", timeout=10)
        assert msgspec.json.decode(answer.data)["fill"] == {"read": first["read"], "of": first["of"]}
        # What the rules in force find is said at once, and a bad set leaves the fill alone.
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 1)
        write(bench, CHAIN, "RULE bad { WHEN nobody }")
        await bench.until(lambda: bool(bench.letters))
        assert bench.watch.status()["filling"]["hash"] == first["hash"]
        answer = await bench.client.request("thenwire.api.thenwire.reload", b"", timeout=10)
        assert b"go on until then" in answer.data
        # A newer set does not.
        write(bench, CHAIN, OTHER)
        # Between two fills there is none for a moment.
        await bench.until(lambda: (bench.watch.status()["filling"] or {}).get("rules") == ("other",))
        held.go.set()
        await bench.until(lambda: processor.reloads == 1)
        assert processor.matcher.rules == ("chain", "other")
        assert bench.watch.status()["refused"] is None
        await bench.send("c")
        await bench.until(lambda: len(bench.said) == 2)
        assert said(bench) == [("chain", ["e1", "e2"]), ("other", ["e2", "e3"])]
        await bench.until(lambda: bench.watch.status()["filling"] is None)
        await bench.stop()

    scenario(tmp_path, binary, act)


def test_a_crash_in_the_fill_leaves_the_old_set_and_the_next_start_fills_again(
    tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(bench: Bench) -> None:
        held = Held(monkeypatch)
        processor = await filling(bench, held)
        before = processor.in_force.bundle.hash
        await asyncio.sleep(0.3)
        await bench.kill()
        await bench.send("b")
        held.go.set()
        processor = await bench.start(warm_ms=DAYS)
        await bench.until(lambda: processor.reloads == 1)
        report = processor.in_force.report
        assert report is not None
        assert (report.hash_before, [one.state for one in report.rules]) == (before, ["kept", "filled"])
        await bench.send("c")
        await bench.until(lambda: len(bench.said) == 2)
        assert said(bench) == [("chain", ["e1", "e2"]), ("added", ["e1", "e3"])]
        await bench.stop()

    scenario(tmp_path, binary, act)


def test_the_last_message_may_be_gone_and_the_stream_may_be_empty(tmp_path: Path, binary: Path) -> None:
    async def act(bench: Bench) -> None:
        write(bench, CHAIN)
        processor = await bench.start(warm_ms=DAYS)
        jetstream = bench.client.jetstream()
        await bench.send("a", x=9)
        await bench.send("b", host="other")
        await bench.until(lambda: processor.events == 2)
        last = (await jetstream.stream_info("EVENTS")).state.last_seq
        await jetstream.delete_msg("EVENTS", last)
        write(bench, CHAIN, ADDED)
        await bench.until(lambda: processor.reloads == 1)
        await bench.send("c")
        await bench.until(lambda: len(bench.said) == 1)
        assert said(bench) == [("added", ["e1", "e3"])]
        await jetstream.purge_stream("EVENTS")
        write(bench, CHAIN, ADDED, OTHER)
        await bench.until(lambda: processor.reloads == 2)
        report = processor.in_force.report
        assert report is not None
        assert [one.state for one in report.rules] == ["kept", "kept", "cold"]
        await bench.stop()

    scenario(tmp_path, binary, act)


def test_a_rest_that_does_not_come_is_tried_again_and_at_last_they_begin_cold(
    tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(warming, "REST_SECONDS", 0.1)
    tries: list[int] = []

    async def has_all(this: Any, sequence: int) -> bool:
        tries.append(sequence)
        await asyncio.sleep(1.0)
        return False

    monkeypatch.setattr(warming.Warming, "_has_all", has_all)
    monkeypatch.setattr(warming.Warming, "_slice", lambda this, until: False)

    async def act(bench: Bench) -> None:
        write(bench, CHAIN)
        processor = await bench.start(warm_ms=DAYS)
        await bench.send("a", x=9)
        await bench.until(lambda: processor.events == 1)

        async def near(this: Any) -> bool:
            return True

        monkeypatch.setattr(warming.Warming, "_is_near", near)
        write(bench, CHAIN, ADDED)
        await bench.until(lambda: processor.reloads == 1)
        assert len(tries) == warming.TRIES
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 1)
        await bench.stop()

    scenario(tmp_path, binary, act)
    assert "does not give the last messages again. They begin cold." in caplog.text


def test_a_fill_that_comes_no_nearer_says_so_and_is_given_up_for_the_old_files(
    tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(warming, "_SAY_SECONDS", 0.05)
    monkeypatch.setattr(warming.Warming, "_slice", lambda this, until: False)

    async def act(bench: Bench) -> None:
        write(bench, CHAIN)
        processor = await bench.start(warm_ms=DAYS)
        await bench.send("a", x=9)
        await bench.until(lambda: processor.events == 1)
        write(bench, CHAIN, ADDED)
        await bench.until(lambda: "the fill comes no nearer" in caplog.text)
        write(bench, CHAIN)
        await bench.until(lambda: bench.watch.status()["filling"] is None)
        await bench.send("b")
        await bench.until(lambda: len(bench.said) == 1)
        assert (processor.reloads, processor.matcher.rules) == (0, ("chain",))
        consumers = await bench.client.jetstream().consumers_info("EVENTS")
        assert [one.name for one in consumers] == ["thenwire"]
        await bench.stop()

    scenario(tmp_path, binary, act)


def test_under_load_each_message_is_taken_once_by_each(
    tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    live: list[int] = []
    whole, in_force = Apart.take, ReloadingProcessor.swap

    def take(this: Apart, batch: Any, stream: str) -> None:
        taken.extend(sequence for _, sequence, _ in batch)
        whole(this, batch, stream)

    def swap(this: ReloadingProcessor, prepared: Any, sequence: int, filled: Any = None) -> Any:
        live.append(sequence)
        return in_force(this, prepared, sequence, filled)

    monkeypatch.setattr(Apart, "take", take)
    monkeypatch.setattr(ReloadingProcessor, "swap", swap)
    count = 6_000

    async def act(bench: Bench) -> None:
        write(bench, CHAIN)
        processor = await bench.start(warm_ms=DAYS)

        def event(number: int, kind: str) -> bytes:
            fields = {"kind": kind, "device": f"d{number % 500}", "time": bench.now, "id": f"{kind}{number}"}
            return json.dumps({**fields, "host": f"h{number}", "x": 9}).encode()

        async def send(numbers: range, kind: str) -> None:
            for number in numbers:
                await bench.client.publish("events.x", event(number, kind))
                if number % 100 == 0:
                    await bench.client.flush()
                    await asyncio.sleep(0.002)

        await send(range(count), "a")
        await bench.until(lambda: processor.events == count)
        write(bench, CHAIN, ADDED)
        await bench.until(lambda: bench.watch.status()["filling"] is not None)
        await send(range(count, 2 * count), "a")
        await bench.until(lambda: processor.reloads == 1)
        (swapped,) = live
        assert taken == list(range(1, swapped + 1))
        for number in range(0, 2 * count, 1_500):
            await bench.client.publish("events.x", event(number, "c"))
        await bench.until(lambda: len(bench.said) == 8)
        await bench.stop()
        assert sorted(said(bench)) == sorted(
            ("added", [f"a{n}", f"c{n}"]) for n in range(0, 2 * count, 1_500)
        )

    scenario(tmp_path, binary, act)
