"""`thenwire alerts`: what it prints, and that nothing an alert holds can act on the terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from broker import Broker
from hypothesis import given
from hypothesis import strategies as st
from stored import alert, stream

from engine.alerts import encode
from engine.cli import main
from engine.cli.alerts import alert_line, json_line

ROOT = Path(__file__).parents[2]
ANY_TEXT = st.text(st.characters(exclude_categories=()))


async def _fill(url: str) -> None:
    async with stream(url) as service:
        await service.put(1, "high")
        await service.put(1, "low", device="d2")
        await service.put(1, "shadow", device="d3")


def test_stored_alerts_are_printed_a_line_each(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_fill(broker.url))
    assert main(["alerts"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "1970-01-01 00:00:02.000  high      flow then crash  d1  flow then crash",
        "1970-01-01 00:00:02.000  high      flow then crash  d2  flow then crash",
    ]
    assert main(["alerts", "--severity", "low", "--shadow", "--rule", "flow then crash", "--json"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [msgspec.json.decode(line)["device"] for line in shown] == ["d2", "d3"]
    assert main(["alerts", "--device", "d1", "--since", "1h"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_durable_name_prints_each_alert_once(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_fill(broker.url))
    assert main(["alerts", "--durable", "me"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["alerts", "--durable", "me"]) == 0
    assert capsys.readouterr().out == ""


def test_what_is_no_alert_is_said_and_counts(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    async def fill() -> None:
        async with stream(broker.url) as service:
            await service.put_raw(b'{"\x1b[2J": \xff}')
            await service.put(1)

    asyncio.run(fill())
    assert main(["alerts"]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    assert "message 1 under 'alerts.high.flow_then_crash.d1' is no alert" in shown.err
    assert "\x1b" not in shown.err


def test_follow_prints_what_comes(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(1)
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "engine.cli", "alerts", "--follow", "--json", "--durable", "me"),
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            assert child.stdout is not None
            assert msgspec.json.decode(await child.stdout.readline())["id"] == "alert-1"
            await service.put(1)
            assert msgspec.json.decode(await child.stdout.readline())["id"] == "alert-2"
            child.send_signal(signal.SIGINT)
            assert await child.wait() == 0

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--severity", "urgent"], "A severity is one of none, info, low"),
        (["--since", "soon"], "soon"),
        (["--durable", "a b"], "A durable name is letters, digits, - and _, not 'a b'."),
        (["--servers", "http://x"], "which is no server address"),
        (["--context", "../x"], "'../x' is no name of a NATS context."),
    ],
)
def test_wrong_usage_is_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alerts", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_no_stream_is_a_sentence(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts"]) == 2
    assert "thenwire: There is no stream ALERTS with alerts.\n" in capsys.readouterr().err


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_a_line_holds_nothing_that_acts(device: str, title: str, time: str) -> None:
    hostile = alert(1, device=device, title=title, time=time)
    assert alert_line(hostile).plain.isprintable()
    assert not alert_line(hostile).spans or all("\x1b" not in str(s.style) for s in alert_line(hostile).spans)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_says_the_same_with_nothing_that_acts(text: str) -> None:
    raw = encode(alert(1, title=text))
    line = json_line(raw)
    assert line.isprintable()
    assert msgspec.json.decode(line) == msgspec.json.decode(raw)
