"""/readyz goes red when the server is gone, says why, and is green again; /healthz stays."""

import asyncio
from typing import Any

import pytest

from engine.service.errors import ServiceError
from engine.service.observer import CheckpointFacts
from engine.service.operations.readiness import Readiness
from engine.service.serve import run_loop
from engine.service.settings import Settings


def test_ready_goes_red_with_the_server_and_green_again(tools: Any, operating: Any) -> None:
    async def scenario() -> None:
        plain = tools.plain_server("plain")
        with plain:
            settings = Settings(
                servers=(plain.url,), http_address="127.0.0.1:0", connect_timeout=20.0, idle_heartbeat=0.5
            )
            async with asyncio.timeout(60), operating.service(settings) as service:
                assert await service.get("/readyz") == (200, "ready\n")
                plain.kill()
                assert await service.until_page("/readyz", 503) in (
                    "There is no connection to NATS.\n",
                    "Stream EVENTS is not being read.\n",
                )
                assert await service.get("/healthz") == (200, "ok\n")
                status, metrics = await service.get("/metrics")
                assert status == 200
                assert "thenwire_ready 0.0" in metrics
                assert "thenwire_connected 0.0" in metrics
                plain.start()
                assert await service.until_page("/readyz", 200) == "ready\n"
                _, metrics = await service.get("/metrics")
                assert "thenwire_reconnects_total 1.0" in metrics

    run_loop(scenario())


def test_while_it_connects_it_is_alive_and_not_ready(operating: Any) -> None:
    async def scenario() -> None:
        from engine.service.operations.operating import Operations
        from engine.service.run import run

        # Nothing listens at this port of the loopback.
        settings = Settings(servers=("nats://127.0.0.1:9",), http_address="127.0.0.1:0", connect_timeout=2.0)
        operations = Operations()
        stop = asyncio.Event()
        task = asyncio.ensure_future(run(settings, operating.processor(), stop=stop, observer=operations))
        while not operations.address:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.005)
        host, _, port = operations.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /readyz HTTP/1.1\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"\r\n\r\nThere is no connection to NATS.\n")
        stop.set()
        await task

    run_loop(scenario())


def test_a_port_that_is_taken_ends_the_start_with_a_sentence(tools: Any, operating: Any) -> None:
    async def scenario(server: Any) -> None:
        async with operating.service(tools.settings(server, http_address="127.0.0.1:0")) as service:
            with pytest.raises(ServiceError, match="Nothing can listen at http_address"):
                async with operating.service(
                    tools.settings(server, http_address=service.operations.address, consumer="second")
                ):
                    pass

    tools.with_server(scenario)


class _Run:
    """A run in which all is well."""

    def __init__(self, processor: Any) -> None:
        self.settings = Settings()
        self.processor = processor
        self.stop = asyncio.Event()
        self.facts: CheckpointFacts | None = None
        self.progress = ""
        self.connection = self
        self.client = self
        self.consumer = self
        self.is_connected = True
        self.is_reading = True
        self.failed = asyncio.new_event_loop().create_future()

    def filling(self) -> str:
        return self.progress

    def checkpoint(self) -> CheckpointFacts | None:
        return self.facts


def _facts(problem: str | None) -> CheckpointFacts:
    return CheckpointFacts(committed=1, committed_at=1.0, bytes=1, seconds=0.1, failures=1, problem=problem)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, ""),
        ({"is_connected": False}, "There is no connection to NATS."),
        ({"is_reading": False}, "Stream EVENTS is not being read."),
        ({"progress": "The rules are being filled."}, "The rules are being filled."),
        ({"facts": _facts(None)}, ""),
        (
            {"facts": _facts("the disk is full.")},
            "No checkpoint can be written: the disk is full.",
        ),
    ],
)
def test_each_reason_is_a_sentence(operating: Any, change: dict[str, Any], sentence: str) -> None:
    run = _Run(operating.processor())
    for name, value in change.items():
        setattr(run, name, value)
    readiness = Readiness(run)  # type: ignore[arg-type]  # has all that is looked at
    readiness.reading = True
    assert readiness.verdict() == (sentence == "", sentence)
    run.failed.get_loop().close()


def test_stopping_and_no_rules(operating: Any) -> None:
    run = _Run(operating.processor("EVENT a { x: int }"))
    readiness = Readiness(run)  # type: ignore[arg-type]  # has all that is looked at
    assert readiness.verdict()[1] == "Stream EVENTS is not being read."
    readiness.reading = True
    assert readiness.verdict()[1] == "No rule is loaded."
    run.stop.set()
    assert readiness.verdict()[1] == "The service is stopping: it finishes what is queued."
    run.failed.get_loop().close()
