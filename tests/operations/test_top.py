"""``thenwire top`` and ``baseline show --server`` against a running service."""

import asyncio
import io
import json
from typing import Any

import pytest
from rich.console import Console

from engine.cli import main
from engine.cli.top import picture, short, size, span
from engine.service.operations.rates import rates


def drawn(status: Any, since: Any, sort: str = "matches", width: int = 80) -> str:
    target = io.StringIO()
    Console(file=target, width=width, color_system=None).print(picture(status, since, 20, sort))
    return target.getvalue()


@pytest.fixture
def status() -> Any:
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parent / "test_metrics.py"
    spec = importlib.util.spec_from_file_location("thenwire_operations_metrics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.full_status()


def test_rates_are_differences_over_time(status: Any) -> None:
    import msgspec

    replace = msgspec.structs.replace
    later = replace(
        status,
        time_ms=status.time_ms + 2_000,
        events=status.events + 100,
        input=replace(status.input, messages=1),
        rules=[replace(status.rules[0], fits=status.rules[0].fits + 10, matches=30)],
    )
    since = rates(status, later)
    assert since.seconds == 2
    assert since.events == 50
    assert since.messages == 0.5, "a counter that went back has begun anew"
    assert since.rule_fits == {"r": 5}
    assert since.rule_matches == {"r": 3}
    assert since.rule_load == {"r": 5 * 2e-6}
    assert rates(status, status).events == 0


def test_the_picture_fits_a_terminal_and_shows_what_matters(status: Any) -> None:
    text = drawn(status, rates(status, status))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for words in ("ready", "EVENTS as thenwire", "lag", "11", "12.5 s", "41.0 s ago", "42 B", "430 ms", "r "):
        assert words in text, (words, text)
    assert "…" not in text, text


def test_trouble_is_said(status: Any) -> None:
    import msgspec

    red = msgspec.structs.replace(
        status, ready=False, reason="There is no\x1b[2J connection.", checkpoint=None
    )
    text = drawn(red, rates(red, red))
    assert "not ready: There is no" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.5, "0.5 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"), (200_000, "2 d 7 h")],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_units() -> None:
    assert [short(v) for v in (1.5, 0.0125, 0.0000031)] == ["1.5 s", "12.5 ms", "3.1 us"]
    assert [size(v) for v in (5, 2048, 3 << 20, 5 << 30)] == ["5 B", "2 KiB", "3 MiB", "5 GiB"]


def _environment(monkeypatch: pytest.MonkeyPatch, server: Any) -> None:
    monkeypatch.setenv("NATS_URL", server.url.replace("nats://", f"nats://{server.token}@"))


def test_top_asks_a_running_service(
    tools: Any, operating: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario(server: Any) -> None:
        _environment(monkeypatch, server)
        async with operating.service(tools.settings(server, endpoints=True)):
            code = await asyncio.to_thread(main, ["top", "--once", "--json", "--interval", "100ms"])
            assert code == 0
            found = json.loads(capsys.readouterr().out)
            assert found["status"]["ready"]
            assert found["rates"]["events"] == 0
            assert {rule["name"] for rule in found["status"]["rules"]} == {"busy", "exfil_then_crash"}
            assert await asyncio.to_thread(main, ["top", "--once", "--interval", "100ms"]) == 0
            shown = capsys.readouterr().out
            assert "exfil then crash" in shown
            code = await asyncio.to_thread(main, ["top", "--once", "--consumer", "other"])
            assert code == 2
            said = " ".join(capsys.readouterr().err.split())
            assert (
                "No service answers at thenwire.api.other.status: it may not run, run with another consumer, "
                "or without its endpoints (setting endpoints)." in said
            )

    tools.with_server(scenario)


def test_baseline_show_asks_a_running_service(
    tools: Any, operating: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario(server: Any) -> None:
        _environment(monkeypatch, server)
        url = server.url.replace("nats://", f"nats://{server.token}@")
        settings = tools.settings(server, endpoints=True)
        async with tools.client(server) as client, operating.service(settings) as service:
            for hour in range(3):
                event = {"kind": "flow", "device": "d1", "time": 1_772_438_400_000 + 3_600_000 * hour}
                payload = json.dumps({**event, "host": "h", "bytes_out": 100 + hour}).encode()
                await client.jetstream().publish("events.x", payload)
            await tools.until(lambda: service.processor.events == 3)
            command = ["baseline", "show", "--server", url, "--device", "d1"]
            assert await asyncio.to_thread(main, command) == 0
            shown = capsys.readouterr().out
            assert "egress of device d1" in shown
            assert "2 samples" in shown
            assert await asyncio.to_thread(main, [*command, "--json", "--since", "7d"]) == 0
            history = json.loads(capsys.readouterr().out)
            assert [point["value"] for point in history["points"]] == [100, 101, 102]
            assert await asyncio.to_thread(main, [*command[:-1], "nobody"]) == 2
            assert "nothing of `nobody` fed a baseline" in capsys.readouterr().err

    tools.with_server(scenario)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["top", "--sort", "x", "--once"], "--sort is one of matches, cost, fits, devices, name, not `x`"),
        (["top", "--interval", "1ms", "--once"], "--interval is at least 100ms, --rules at least 0"),
        (["top"], "this is no terminal: use --once, --json or both"),
        (
            ["baseline", "show", "mobile", "--device", "d"],
            "give recordings with --input, or a service with --server",
        ),
        (
            ["baseline", "show", "mobile", "--device", "d", "--server", "nats://x"],
            "--server asks the service: give no rules, --input, --source or --set with it",
        ),
        (
            ["baseline", "show", "mobile", "--device", "d", "--input", "x", "--since", "1h"],
            "--since and --consumer go with --server",
        ),
        (["run", "--rules", "mobile", "--log-format", "xml"], "--log-format is console or json, not `xml`"),
        (
            ["run", "--rules", "mobile", "--http", "here"],
            "Setting http_address must be a port or host:port such as 127.0.0.1:9464, not 'here'.",
        ),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
