"""docs/reference/nats-users.conf: the service works with it, and names the line that is taken away."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from broker import Broker
from documented_users import (
    FILE,
    PATIENCE_SECONDS,
    RULES,
    TEXT,
    has_done_everything,
    lacks,
    listed,
    operated,
    without,
)

import dsl
from engine.client import alerts
from engine.service.checkpoints.places import state_store
from engine.service.connection import Connection
from engine.service.errors import ServiceError
from engine.service.matching import MatchingProcessor
from engine.service.operations.operating import Operations
from engine.service.permissions import Permission, needed, needed_to_read, refusal
from engine.service.run import run
from engine.service.serve import run_loop
from engine.service.settings import Settings


def settings_of(name: str, url: str = "nats://127.0.0.1:1", **more: Any) -> Settings:
    """As the comments of the file say that its users are started."""
    service: dict[str, Any] = {}
    if name == "thenwire":
        service = {"ocsf": True, "state": "kv:THENWIRE", "endpoints": True}
    return Settings(
        servers=(url,),
        user=name,
        password=f"{name}-secret",
        manage_streams=False,
        inbox_prefix=f"_INBOX_{name}",
        checkpoint_interval=0.05,
        commit_interval=0.05,
        **service,
        **more,
    )


SERVICE = listed("thenwire")
READER = listed("pager")


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("thenwire", "producer", "pager", "operator"):
        monkeypatch.setenv(f"{name.upper()}_PASSWORD", f"{name}-secret")


def test_the_file_lists_what_the_code_needs() -> None:
    def plain(permissions: list[Permission]) -> set[tuple[str, str]]:
        return {(p.verb, p.subject) for p in permissions}

    assert plain(SERVICE) == plain(needed(settings_of("thenwire")))
    assert plain(READER) == plain(needed_to_read(settings_of("pager"), "ALERTS", "pager"))
    assert len(SERVICE) == len(plain(SERVICE))


def test_the_reference_lists_them_too() -> None:
    page = (FILE.parent / "nats.md").read_text("utf-8")
    assert [p.subject for p in [*SERVICE, *READER] if f"`{p.subject}`" not in page] == []


async def serve(broker: Broker, removed: Permission | None = None) -> None:
    """The service until it has done everything that needs a permission. Raises what ends it."""
    settings = settings_of("thenwire", broker.url)
    ruleset = dsl.load_text(RULES)
    assert not ruleset.errors
    direct = removed is None or "MSG.GET" not in removed.subject
    async with asyncio.timeout(PATIENCE_SECONDS), operated(broker, direct=direct) as client:
        stop = asyncio.Event()
        service = asyncio.ensure_future(
            run(
                settings,
                MatchingProcessor(ruleset, ocsf=True),
                stop=stop,
                observer=Operations(),
                store=state_store(settings, os.environ),
            )
        )
        try:
            while not service.done() and not await has_done_everything(client):  # noqa: ASYNC110  # in the server
                await asyncio.sleep(0.02)
        finally:
            stop.set()
        await service


def test_the_service_works_with_what_the_file_allows(tmp_path: Path, server_binary: Path) -> None:
    with Broker(server_binary, tmp_path / "nats", TEXT) as broker:
        run_loop(serve(broker))


def test_filling_rules_from_the_stream_needs_nothing_more(tmp_path: Path, server_binary: Path) -> None:
    async def fill(broker: Broker) -> None:
        settings = settings_of("thenwire", broker.url)
        stop, ready = asyncio.Event(), asyncio.Event()
        processor = MatchingProcessor(dsl.load_text(RULES), ocsf=True)
        async with asyncio.timeout(PATIENCE_SECONDS), operated(broker):
            store = state_store(settings, os.environ)
            more = {"stop": stop, "on_ready": ready.set, "store": store, "warm_ms": 3_600_000}
            service = asyncio.ensure_future(run(settings, processor, **more))
            waiting = asyncio.ensure_future(ready.wait())
            await asyncio.wait([service, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            stop.set()
            await service
        assert processor.events > 0

    with Broker(server_binary, tmp_path / "nats", TEXT) as broker:
        run_loop(fill(broker))


@pytest.mark.parametrize("removed", SERVICE, ids=lambda p: f"{p.verb} {p.subject}")
def test_a_permission_that_is_missing_is_named(
    tmp_path: Path, server_binary: Path, removed: Permission
) -> None:
    with (
        Broker(server_binary, tmp_path / "nats", without("thenwire", removed)) as broker,
        pytest.raises(ServiceError) as caught,
    ):
        run_loop(serve(broker, removed))
    assert str(caught.value) == lacks(removed)


async def read(broker: Broker) -> list[str]:
    async with asyncio.timeout(PATIENCE_SECONDS), operated(broker) as client:
        await client.jetstream().publish("alerts.high.r.d", b"{}")
        found: list[str] = []
        source = alerts(
            settings_of("pager", broker.url),
            durable="pager",
            on_unreadable=lambda error: found.append(error.subject),
        )
        async with source:
            waiting = asyncio.ensure_future(anext(source))
            while not waiting.done() and (  # noqa: ASYNC110  # what is waited for is in the server
                not found
                or (await client.jetstream().consumer_info("ALERTS", "pager")).ack_floor.stream_seq == 0
            ):
                await asyncio.sleep(0.02)
            if not waiting.done():
                waiting.cancel()
            else:
                waiting.result()
        return found


def test_a_subscriber_works_with_what_the_file_allows(tmp_path: Path, server_binary: Path) -> None:
    with Broker(server_binary, tmp_path / "nats", TEXT) as broker:
        assert run_loop(read(broker)) == ["alerts.high.r.d"]


@pytest.mark.parametrize("removed", READER, ids=lambda p: f"{p.verb} {p.subject}")
def test_a_permission_that_a_subscriber_lacks_is_named(
    tmp_path: Path, server_binary: Path, removed: Permission
) -> None:
    with (
        Broker(server_binary, tmp_path / "nats", without("pager", removed)) as broker,
        pytest.raises(ServiceError) as caught,
    ):
        run_loop(read(broker))
    assert str(caught.value) == lacks(removed)


def test_the_users_may_nothing_else(tmp_path: Path, server_binary: Path) -> None:
    """Each in turn tries what others may do."""

    async def tried(broker: Broker, name: str, subject: str) -> str:
        connection = Connection(settings_of(name, broker.url))
        connection.permissions = []
        try:
            await connection.open()
            await connection.client.publish(subject, b"{}")
            await asyncio.wait({connection.failed}, timeout=2)
            if not connection.failed.done():
                return "allowed"
            connection.failed.result()
        except ServiceError as error:
            return str(error)
        finally:
            await connection.close()
        return ""

    forbidden = {
        "thenwire": [
            "events.x",
            "$JS.API.STREAM.DELETE.EVENTS",
            "$JS.API.STREAM.PURGE.ALERTS",
            "$KV.OTHER.x",
        ],
        "producer": ["alerts.high.r.d", "events.thenwire.tick", "$JS.API.STREAM.INFO.EVENTS"],
        "pager": ["alerts.high.r.d", "events.x", "$JS.API.CONSUMER.DELETE.ALERTS.pager"],
    }
    with Broker(server_binary, tmp_path / "nats", TEXT) as broker:
        for name, subjects in forbidden.items():
            for subject in subjects:
                said = run_loop(tried(broker, name, subject))
                assert said == f'The NATS user lacks a permission: publish to "{subject.lower()}".'


@pytest.mark.parametrize(
    ("error", "named"),
    [
        ("$js.hub.api.stream.info.events", "$JS.hub.API.STREAM.INFO.EVENTS"),
        ("$js.api.stream.info.events", "$JS.API.STREAM.INFO.EVENTS"),
        ("$js.ack.events.thenwire.1.5.5.1795415306306790936.0", "$JS.ACK.EVENTS.thenwire.>"),
        ("$js.ack.hub.szmpdrwd.events.thenwire.1.5.5.1795415306306790936.0", "$JS.ACK.*.*.EVENTS.thenwire.>"),
    ],
)
def test_a_missing_permission_is_named_in_the_form_that_the_server_looked_at(error: str, named: str) -> None:
    settings = msgspec.structs.replace(settings_of("thenwire"), jetstream_domain="hub")
    found = refusal(f'nats: permissions violation for publish to "{error}"', needed(settings))
    assert found is not None
    # Not taken for an answer to somebody, which would only be a line in the log.
    assert (found.what, found.is_answer) == (f'publish to "{named}"', False)
