"""The service on a real server: each alert is stored in both forms."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import nats
import pytest
from feeding import at

import dsl
from engine.service.embedded import EmbeddedServer, find_server
from engine.service.errors import ServiceError
from engine.service.matching import MatchingProcessor
from engine.service.run import run
from engine.service.serve import run_loop
from engine.service.settings import Settings

RULES = """
EVENT flow { app: string }
EVENT crash { app: string }
RULE flow then crash { BY device, app WHEN flow THEN crash WITHIN 10m SEVERITY high }
"""
PATIENCE_SECONDS = 60


@pytest.fixture
def binary() -> Path:
    try:
        return find_server(None, os.environ)
    except ServiceError as error:
        pytest.skip(f"needs a real server: {error}")


def test_both_forms_of_an_alert_are_stored(
    tmp_path: Path, binary: Path, ocsf: jsonschema.Draft202012Validator
) -> None:
    async def scenario() -> list[tuple[str, dict[str, Any]]]:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            EmbeddedServer(tmp_path / "nats", binary=binary) as server,
        ):
            stop, ready = asyncio.Event(), asyncio.Event()
            settings = Settings(servers=(server.url,), token=server.token, ocsf=True)
            processor = MatchingProcessor(dsl.load_text(RULES), ocsf=True)
            service = asyncio.create_task(run(settings, processor, stop=stop, on_ready=ready.set))
            await ready.wait()
            client = await nats.connect(server.url, token=server.token)
            stream = client.jetstream()
            for kind, minute in (("flow", 0), ("crash", 1)):
                event = {"kind": kind, "device": "d1", "time": at(minute), "app": "a"}
                await stream.publish("events.test", msgspec.json.encode(event))
            found = []
            for subject in ("alerts.>", "ocsf.>"):
                messages = await stream.subscribe(subject, ordered_consumer=True)
                message = await messages.next_msg(timeout=PATIENCE_SECONDS)
                found.append((message.subject, msgspec.json.decode(message.data)))
            await client.close()
            stop.set()
            report = await service
            assert report.published == {"alerts": 1, "ocsf": 1}
            return found

    (alert_subject, alert), (finding_subject, finding) = run_loop(scenario())
    assert alert_subject == "alerts.high.flow_then_crash.d1"
    assert finding_subject == "ocsf.high.flow_then_crash.d1"
    assert finding["finding_info"]["uid"] == alert["id"]
    ocsf.validate(finding)
