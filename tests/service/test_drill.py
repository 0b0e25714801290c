"""Drills against a real server and service: they pass, and where something is cut they name the hop."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

import dsl
from engine import packs
from engine.cli import main
from engine.service.drill import drill
from engine.service.drill_chain import Chain, chain_for
from engine.service.drill_report import DrillRefused, DrillReport
from engine.service.matching import MatchingProcessor
from engine.service.settings import Settings

EVENTS = """
EVENT net flow { app: string bytes_out: int UNIT bytes }
EVENT app exit { app: string class: string? }
"""
RULE = """
RULE crash after upload {
  BY device, app
  WHEN net flow [bytes_out > 1MB] THEN app exit [class == "guard"] WITHIN 10m
  SEVERITY high
}
TEST "fires" FOR crash after upload {
  AT 0s net flow { app: "a" bytes_out: 2_000_000 }
  AT 3m app exit { app: "a" class: "guard" }
  EXPECT ALERT @3m
}
"""
RULES = dsl.load_text(EVENTS + RULE)
HOPS = [
    "connect",
    "canary is new",
    "publish",
    "read by the service",
    "alert",
    "alert stored",
    "input acknowledged",
]


def chain(
    device: str = "canary-1.x", ruleset: dsl.RuleSet = RULES, rule: str = "crash after upload"
) -> Chain:
    return chain_for(ruleset, rule, device, time.time_ns() // 1_000_000)


def held(
    tools: Any, service_rules: str | None, settings: dict[str, Any] | None = None, **how: Any
) -> DrillReport:
    """A drill against a service with these rules; None: there is none."""
    found: list[DrillReport] = []

    async def scenario(server: Any) -> None:
        given = tools.settings(server, **(settings or {}))
        if service_rules is None:
            async with tools.client(server) as client:
                await client.jetstream().add_stream(name="EVENTS", subjects=["events.>"])
                await client.jetstream().add_stream(name="ALERTS", subjects=["alerts.>"])
            found.append(await drill(given, chain(), **{"patience": 0.3} | how))
            return
        async with tools.service(given, MatchingProcessor(dsl.load_text(service_rules))):
            found.append(await drill(given, chain(), **{"patience": 20.0} | how))

    tools.with_server(scenario)
    return found[0]


def failed(report: DrillReport, hop: str) -> str:
    assert not report.ok
    assert report.failed == hop
    assert [one.name for one in report.hops] == HOPS[: HOPS.index(hop) + 1]
    assert [one.ok for one in report.hops[:-1]] == [True] * (len(report.hops) - 1)
    assert report.alert_seconds is None
    return report.hops[-1].detail


def test_a_drill_passes_says_how_long_it_took_and_leaves_nothing(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server)
        async with tools.service(settings, MatchingProcessor(RULES)), tools.client(server) as client:
            report = await drill(settings, chain())
            assert (report.ok, report.failed) == (True, None), report
            assert [hop.name for hop in report.hops] == HOPS
            assert all(hop.ok for hop in report.hops)
            assert report.severity == "high"
            assert report.alert_seconds is not None
            assert report.alert_seconds >= 0
            assert "sequence 1 to 2" in report.hops[2].detail
            assert "high on alerts.high.crash_after_upload.canary-1=2Ex, " in report.hops[4].detail
            assert (report.left, report.other_version) == ((), False)
            for stream in ("EVENTS", "ALERTS"):
                assert (await client.jetstream().stream_info(stream)).state.messages == 0

    tools.with_server(scenario)


def test_a_baseline_is_trained_for_the_canary(tools: Any) -> None:
    mobile = dsl.load([packs.rules_folder() / "mobile"])

    async def scenario(server: Any) -> None:
        settings = tools.settings(server)
        async with tools.service(settings, MatchingProcessor(mobile)):
            report = await drill(settings, chain("canary-1", mobile, "an1756 ios"))
            assert report.ok, report
            assert "after 32 that train a baseline" in report.hops[2].detail

    tools.with_server(scenario)


def test_a_kind_that_no_stream_takes_in_fails_at_publish(tools: Any) -> None:
    report = held(tools, EVENTS + RULE, {"input_subjects": ("events.net.flow.>",)})
    detail = failed(report, "publish")
    assert detail == "no stream takes in events.app.exit.canary-1=2Ex: events of app.exit are lost"
    assert report.left == ("the events in EVENTS, sequence 1 to 1, for whoever looks",)


def test_a_kind_that_another_stream_takes_in_fails_at_publish(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, input_subjects=("events.net.flow.>",))
        async with tools.client(server) as client:
            await client.jetstream().add_stream(name="OTHER", subjects=["events.app.>"])
        async with tools.service(settings, MatchingProcessor(RULES)):
            detail = failed(await drill(settings, chain()), "publish")
            assert (
                "was stored in stream OTHER, not in EVENTS: the service does not see events of app.exit"
                in detail
            )

    tools.with_server(scenario)


def test_rules_that_do_not_read_the_crash_fail_at_the_alert(tools: Any) -> None:
    without = (
        EVENTS.replace("app exit", "device gone")
        + "RULE crash after upload { WHEN net flow THEN net flow WITHIN 1s }"
    )
    detail = failed(held(tools, without, patience=0.5), "alert")
    assert "the service read the events (net.flow, app.exit), and its rules make nothing of them" in detail


def test_a_dead_letter_is_the_reason_at_the_alert(tools: Any) -> None:
    other = (
        (EVENTS + RULE.partition("TEST")[0]).replace("class: string?", "class: int?").replace('"guard"', "7")
    )
    detail = failed(held(tools, other, patience=0.5), "alert")
    assert "dlq.thenwire.wrong_type has the event: " in detail
    assert "`$.class`" in detail


def test_another_version_of_the_rule_is_said(tools: Any) -> None:
    report = held(tools, EVENTS + RULE.replace("1MB", "1KB").replace("high", "low"))
    assert (report.ok, report.severity, report.other_version) == (True, "low", True)


def test_no_service_fails_where_it_should_read(tools: Any) -> None:
    assert "stream EVENTS has no consumer thenwire: no service reads it" in failed(
        held(tools, None), "read by the service"
    )


def test_a_service_that_stopped_fails_where_it_should_read(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server)
        async with tools.service(settings, MatchingProcessor(RULES)):
            pass
        detail = failed(await drill(settings, chain(), patience=0.3), "read by the service")
        assert "delivered 0, acknowledged 0; nobody asks for messages: does the service run?" in detail

    tools.with_server(scenario)


def test_no_streams_fail_before_anything_is_published(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        report = await drill(tools.settings(server), chain())
        assert failed(report, "canary is new") == "there is no stream ALERTS"
        assert report.left == ()

    tools.with_server(scenario)


def test_no_server_fails_at_connect(tools: Any) -> None:
    settings = Settings(servers=(f"nats://127.0.0.1:{tools.plain_server('none').port}",), connect_timeout=0.3)
    report = asyncio.run(drill(settings, chain()))
    assert "No NATS server answered" in failed(report, "connect")


def test_a_device_that_exists_is_refused(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server)
        async with tools.service(settings, MatchingProcessor(RULES)), tools.client(server) as client:
            kept = await drill(settings, chain(), clean=False)
            assert (kept.ok, kept.left) == (True, ("the canary's events and alerts, as asked",))
            before = (await client.jetstream().stream_info("EVENTS")).state.messages
            with pytest.raises(DrillRefused, match="exists: there are messages on alerts"):
                await drill(settings, chain())
            # Its events alone are enough, as its alerts alone are.
            await client.jetstream().purge_stream("ALERTS")
            with pytest.raises(DrillRefused, match=r"events\.app\.exit\.canary-1=2Ex"):
                await drill(settings, chain())
            assert (await client.jetstream().stream_info("EVENTS")).state.messages == before == 2

    tools.with_server(scenario)


def test_a_subject_that_others_use_too_is_never_purged(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server)
        async with tools.service(settings, MatchingProcessor(RULES)), tools.client(server) as client:
            await client.jetstream().publish(
                "events.app.exit", b'{"kind":"app.exit","device":"d","time":1,"app":"a"}'
            )
            report = await drill(settings, chain(), subject="events.{kind}")
            assert report.ok
            assert report.left == ("the events in EVENTS: their subject is not the canary's alone",)
            assert (await client.jetstream().stream_info("EVENTS")).state.messages == 3
            assert (await client.jetstream().stream_info("ALERTS")).state.messages == 0

    tools.with_server(scenario)


def test_without_the_permission_to_purge_it_passes_and_says_what_is_left(tools: Any) -> None:
    server = tools.plain_server("plain")
    server.configure(
        "authorization { users: [ { user: service, password: s }, { user: drill, password: d, "
        'permissions: { publish: { deny: ["$JS.API.STREAM.PURGE.>"] } } } ] }\n'
    )
    with server:

        async def scenario() -> None:
            service = Settings(servers=(server.url,), user="service", password="s", commit_interval=0.05)
            canary = Settings(servers=(server.url,), user="drill", password="d")
            async with tools.service(service, MatchingProcessor(RULES)):
                report = await drill(canary, chain())
            assert report.ok
            assert len(report.left) == 3
            assert "lacks a permission" in report.left[0]

        asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    path = tmp_path / "r.rule"
    path.write_text(EVENTS + RULE)
    return path


def test_the_command_says_the_hops_and_its_code_is_fit_for_cron(
    tools: Any, rule_file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["drill", "--rules", str(rule_file), "--rule", "crash after upload", "--timeout", "20s"]

    async def scenario(server: Any) -> None:
        # A token may stand in the address.
        url = server.url.replace("nats://", f"nats://{server.token}@")
        monkeypatch.setenv("NATS_URL", url)
        async with tools.service(tools.settings(server), MatchingProcessor(RULES)):
            assert await asyncio.to_thread(main, arguments) == 0
            out = capfd.readouterr().out
            assert "passed: alert after 0." in out
            assert all(hop in out for hop in HOPS)
            assert await asyncio.to_thread(main, [*arguments, "--json", "--server", url]) == 0
            report = json.loads(capfd.readouterr().out)
            assert report["ok"]
            assert report["device"].startswith("canary-")
        assert await asyncio.to_thread(main, [*arguments[:-1], "300ms"]) == 1
        assert "failed at: read by the service" in capfd.readouterr().out

    tools.with_server(scenario)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--device", "phone-1"], "is called canary-..."),
        (["--subject", "events.{what}"], "is no subject"),
        (["--subject", "events.>"], "is no subject"),
        (["--timeout", "soon"], "not a duration"),
        (["--server", "x y"], "no server address"),
    ],
)
def test_wrong_usage_is_one_sentence(
    rule_file: Path, more: list[str], sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["drill", "--rules", str(rule_file), "--rule", "crash after upload", *more]) == 2
    assert sentence in " ".join(capfd.readouterr().err.split())


def test_a_rule_without_a_chain_is_said_before_anybody_connects(
    rule_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["drill", "--rules", str(rule_file), "--rule", "other"]) == 2
    assert "There is no rule `other`" in capfd.readouterr().err
