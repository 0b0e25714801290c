"""Coverage from what a service's input stream holds."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import dsl
from engine.cli import main
from engine.report.coverage import WatchingMatcher, coverage_of
from engine.service.errors import ServiceError
from engine.service.stored import StoredInput, feed_stored

RULES = """
EVENT net flow GRACE 5m LATE 1h { app: string bytes_out: int UNIT bytes }
EVENT app exit GRACE 5m LATE 1h { app: string }
RULE crash { BY device, app WHEN net flow [bytes_out > 5] THEN app exit WITHIN 10m }
"""
RULESET = dsl.load_text(RULES)
HOUR = 3_600_000


def now() -> int:
    return time.time_ns() // 1_000_000


def flow(late_ms: int = 0) -> dict[str, Any]:
    fields = {"app": "a", "bytes_out": 9, "source": "agent"}
    return {"kind": "net.flow", "device": "d", "time": now() - late_ms, **fields}


def crash(late_ms: int = 0) -> dict[str, Any]:
    return {"kind": "app.exit", "device": "d", "time": now() - late_ms, "app": "a", "source": "agent"}


def stored(tools: Any, payloads: list[Any], then: Callable[[Any, Any], Awaitable[None]]) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            jetstream = client.jetstream()
            await jetstream.add_stream(name="EVENTS", subjects=["events.>"], max_age=7 * 86_400)
            for payload in payloads:
                raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                await client.publish("events.x", raw)
            await client.flush()
            # What is waited for is on the server.
            while (await jetstream.stream_info("EVENTS")).state.messages < len(payloads):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await then(tools.settings(server), server)

    tools.with_server(scenario)


def test_all_messages_come_in_order_and_the_lateness_is_that_of_the_stream(tools: Any) -> None:
    payloads: list[Any] = [flow() for _ in range(1_100)] + [[crash(3 * HOUR), crash(3 * HOUR)]] * 15

    async def then(settings: Any, _: Any) -> None:
        async with StoredInput(settings) as found:
            sequences = [message.sequence async for message in found.messages()]
        assert sequences == list(range(1, 1_116))
        matcher = WatchingMatcher(RULESET)
        fed = await feed_stored(settings, matcher)
        assert (fed.refused, fed.max_age_ms) == ({}, 7 * 24 * HOUR)
        (row,) = coverage_of(RULESET, matcher, recorded=True).rules
        late = row.looks[1].members[0].lateness
        assert late is not None
        assert (late.basis, late.events) == ("seen", 30)
        assert late.p95_ms == pytest.approx(3 * HOUR, rel=0.03)
        assert row.verdict == "BLIND"

    stored(tools, payloads, then)


def test_bad_and_future_events_are_counted_and_unknown_kinds_passed_over(tools: Any) -> None:
    payloads = [b"{", flow(-HOUR), {"kind": "other", "device": "d", "time": 1}, flow()]

    async def then(settings: Any, _: Any) -> None:
        matcher = WatchingMatcher(RULESET)
        fed = await feed_stored(settings, matcher)
        assert fed.refused == {"malformed_json": 1, "future_time": 1}
        assert matcher.observer.events == 1

    stored(tools, payloads, then)


def test_since_leaves_out_what_is_older(tools: Any) -> None:
    async def then(settings: Any, _: Any) -> None:
        for since, count in ((timedelta(hours=-1), 0), (timedelta(hours=1), 2)):
            matcher = WatchingMatcher(RULESET)
            await feed_stored(settings, matcher, datetime.now(UTC) - since)
            assert matcher.observer.events == count

    stored(tools, [flow(), flow()], then)


def test_an_emptied_stream_ends_at_once_and_nobodys_consumer_is_left(tools: Any) -> None:
    async def then(settings: Any, server: Any) -> None:
        async with tools.client(server) as client:
            jetstream = client.jetstream()
            async with StoredInput(settings) as found:
                assert [m.sequence async for m in found.messages()] == [1]
            await jetstream.purge_stream("EVENTS")
            async with StoredInput(settings) as found:
                assert [m.sequence async for m in found.messages()] == []
            assert (await jetstream.stream_info("EVENTS")).state.consumer_count == 0

    stored(tools, [flow()], then)


def test_what_the_stream_removes_meanwhile_is_not_waited_for(tools: Any) -> None:
    async def then(settings: Any, server: Any) -> None:
        read = 0
        async with tools.client(server) as client, StoredInput(settings) as found:
            async for _ in found.messages():
                if not read:
                    await client.jetstream().purge_stream("EVENTS")
                read += 1
        # What the first pull had brought.
        assert read == 500

    stored(tools, [flow() for _ in range(600)], then)


def test_no_stream_is_one_sentence(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        with pytest.raises(ServiceError, match="There is no stream EVENTS"):
            await feed_stored(tools.settings(server), WatchingMatcher(RULESET))

    tools.with_server(scenario)


def test_the_command_reads_a_service(tools: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.rule"
    path.write_text(RULES)

    async def then(_: Any, server: Any) -> None:
        url = server.url.replace("nats://", f"nats://{server.token}@")
        asked = ["coverage", str(path), "--server", url]
        assert await asyncio.to_thread(main, [*asked, "--json", "--since", "1h"]) == 0
        (row,) = json.loads(capfd.readouterr().out)["rules"]
        assert (row["verdict"], row["retention_ms"], row["alerts"]) == ("EVALUABLE", 7 * 24 * HOUR, 1)
        assert await asyncio.to_thread(main, [*asked, "--stream", "OTHER"]) == 2
        assert "There is no stream OTHER." in capfd.readouterr().err

    stored(tools, [flow(60_000), crash()], then)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--since", "1h"], "name it with --server"),
        (["--server", "nats://127.0.0.1:1", "-"], "two inputs; give one"),
        (["--server", "x y"], "no server address"),
    ],
)
def test_wrong_usage(arguments: list[str], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["coverage", "mobile", *arguments]) == 2
    assert sentence in " ".join(capfd.readouterr().err.split())
