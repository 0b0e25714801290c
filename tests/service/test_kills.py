"""The program is killed again and again, and says in the end what a run without kills says of the stream."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import dsl
from engine.cli import main
from engine.service.matching import MatchingProcessor
from engine.service.subjects import TICK

RULES = """
EVENT net flow GRACE 400ms LATE 1h { app: string bytes_out: int UNIT bytes }
EVENT app exit GRACE 400ms LATE 1h { app: string class: string? }
RULE crash after upload {
  BY device, app
  WHEN net flow [bytes_out > 1MB] AS upload THEN app exit [class == "memory_violation"] AS crash WITHIN 10m
  SEVERITY high
}
RULE no exit after upload {
  BY device
  WHEN net flow [bytes_out > 1MB] AS upload THEN NO app exit FOR 2s
  SEVERITY low
}
RULE three uploads {
  BY device
  WHEN AT LEAST 3 net flow [bytes_out > 1MB] IN 5m
  SEVERITY medium
}
"""


def flow(device: str, at: int, size: int = 2_000_000) -> bytes:
    return json.dumps(
        {"kind": "net.flow", "device": device, "time": at, "app": "a", "bytes_out": size}
    ).encode()


def crash(device: str, at: int) -> bytes:
    return json.dumps(
        {"kind": "app.exit", "device": device, "time": at, "app": "a", "class": "memory_violation"}
    ).encode()


def now_ms() -> int:
    return round(time.time() * 1000)


async def stored(client: Any, stream: str) -> list[Any]:
    """Every message of a stream, in order."""
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    found: list[Any] = []
    done = asyncio.Event()

    async def keep(message: Any) -> None:
        found.append(message)
        if message.metadata.sequence.stream == state.last_seq:
            done.set()

    if state.messages:
        subscription = await jetstream.subscribe(">", stream=stream, cb=keep, ordered_consumer=True)
        await done.wait()
        await subscription.unsubscribe()
    return found


def uninterrupted(messages: list[Any]) -> list[tuple[str, bytes]]:
    """Ids and payloads of what one run without a crash publishes of a stream."""
    processor = MatchingProcessor(dsl.load_text(RULES))
    found = []
    for message in messages:
        reply = message.reply.split(".")
        out = processor.process(
            message.data, None, int(reply[5]), "EVENTS", message.subject, int(reply[7][:-6])
        )
        found += [(one.message_id, one.payload) for one in out]
    return found


def published(messages: list[Any]) -> list[tuple[str, bytes]]:
    return [(message.headers["Nats-Msg-Id"], message.data) for message in messages]


class _Program:
    """`thenwire run` as a process that can be killed."""

    def __init__(self, server: Any, folder: Path, *, state: str) -> None:
        self._rules = folder / "test.rule"
        self._rules.write_text(RULES)
        self._folder = folder
        self._server = server
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None
        self._runs = 0

    def __enter__(self) -> "_Program":
        self._runs += 1
        self._log = (self._folder / f"run{self._runs}.log").open("wb")
        arguments = [
            "run",
            "--rules",
            str(self._rules),
            "--servers",
            self._server.url,
            "--state",
            self._state,
        ]
        arguments += ["--checkpoint-interval", "200ms", "--tick-after", "1s"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *arguments],
            stderr=self._log,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "NATS_TOKEN": self._server.token,
            },
        )
        return self

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def reads(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.said()
        return "running 3 rules" in self.said()

    def said(self) -> str:
        return (self._folder / f"run{self._runs}.log").read_text()

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._log.close()


def _stream_of_events(seed: int, count: int) -> list[bytes]:
    """Uploads, crashes, some of both too late in the stream for their time."""
    chance = random.Random(seed)
    start = now_ms() - 600_000
    events = []
    for number in range(count):
        at = start + number * 40 - (chance.randrange(60_000) if chance.random() < 0.2 else 0)
        device = f"phone.{chance.randrange(30)}"
        events.append(flow(device, at) if chance.random() < 0.4 else crash(device, at))
        if chance.random() < 0.3:
            events.append(flow(device, at, size=10))
    return events


@pytest.mark.parametrize("kind", ["file", "bucket"])
def test_kills_at_random_points_change_nothing(tools: Any, kind: str) -> None:
    async def scenario(server: Any) -> None:
        chance = random.Random(7)
        state = str(tools.directory / "state") if kind == "file" else "kv:states"
        events = _stream_of_events(1, 2000)
        async with tools.client(server) as client:
            jetstream = client.jetstream()
            await jetstream.add_stream(name="EVENTS", subjects=["events.>"])

            async def publish() -> None:
                for number, payload in enumerate(events):
                    await jetstream.publish("events.x", payload)
                    if number % 10 == 0:
                        await asyncio.sleep(0.02)

            publishing = asyncio.ensure_future(publish())
            program = _Program(server, tools.directory, state=state)
            for _ in range(6 if kind == "file" else 2):
                with program:
                    await tools.until(program.reads)
                    await asyncio.sleep(0.1 + chance.random() * 0.8)
                    await asyncio.to_thread(program.kill)
            await publishing
            with program:
                await tools.until(program.reads)
                # The last absences are decided by ticks alone.
                await _settled(client)
            if kind == "file":
                rules = str(tools.directory / "test.rule")
                assert await asyncio.to_thread(main, ["state", "verify", state, "--rules", rules]) == 0
            messages = await stored(client, "EVENTS")
            expected = uninterrupted(messages)
            assert sum(message.data == TICK for message in messages) > 0
            found = published(await stored(client, "ALERTS"))
            assert len(found) == len(set(found)), "an alert was stored twice"
            assert sorted(found) == sorted(expected)
            assert len({one for one, _ in expected}) == len(expected)
            kinds = {json.loads(payload)["rule"]["name"] for _, payload in expected}
            assert kinds == {"crash_after_upload", "no_exit_after_upload", "three_uploads"}
            assert any(json.loads(payload)["revision"] > 1 for _, payload in expected)

    # Most of it is the start of the program, again and again.
    tools.with_server(scenario, patience=240.0)


async def _settled(client: Any) -> None:
    """Until all is acknowledged and no tick has come for longer than `tick_after`: nothing waits any more."""
    jetstream = client.jetstream()
    last = -1
    while True:
        before, last = last, (await jetstream.stream_info("EVENTS")).state.last_seq
        info = await jetstream.consumer_info("EVENTS", "thenwire")
        if info.ack_floor.stream_seq == last == before:
            return
        await asyncio.sleep(1.8)
