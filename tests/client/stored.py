"""Alerts put into a stream as the service puts them there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import nats
import nats.errors

import dsl
from engine.alerts import Alert, encode
from engine.matcher import Matcher
from engine.service.subjects import alert_subject

RULES = """
EVENT flow { app: string }
EVENT crash { app: string }
RULE flow then crash { BY device, app WHEN flow THEN crash WITHIN 10m SEVERITY high }
"""


def alert(number: int, **changes: Any) -> Alert:
    """A real alert with an id of its own."""
    return msgspec.structs.replace(_first(), id=f"alert-{number}", **changes)


_known: list[Alert] = []


def _first() -> Alert:
    if not _known:
        matcher = Matcher(dsl.load_text(RULES))
        for kind, time in (("flow", 1_000), ("crash", 2_000)):
            event = {"kind": kind, "device": "d1", "time": time, "app": "a"}
            _known.extend(matcher.feed_json(msgspec.json.encode(event)))
    return _known[0]


class Stream:
    """The alert stream, from the side of the service."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.jetstream = client.jetstream()
        self._number = 0

    async def put(
        self, count: int, severity: str = "high", rule: str = "flow_then_crash", device: str = "d1"
    ) -> None:
        for _ in range(count):
            self._number += 1
            body = encode(alert(self._number, device=device))
            await self._publish(alert_subject(severity, rule, device), body)

    async def put_raw(self, payload: bytes) -> None:
        self._number += 1
        await self._publish("alerts.high.flow_then_crash.d1", payload)

    async def _publish(self, subject: str, payload: bytes) -> None:
        """Until it is stored, and once: the server may just be away."""
        while True:
            with contextlib.suppress(TimeoutError, nats.errors.Error):
                await self.jetstream.publish(
                    subject, payload, timeout=1, headers={"Nats-Msg-Id": f"alert-{self._number}"}
                )
                return


@contextlib.asynccontextmanager
async def stream(url: str, *, create: bool = True) -> AsyncIterator[Stream]:
    client = await nats.connect(url, reconnect_time_wait=0.1, max_reconnect_attempts=-1)
    try:
        if create:
            await client.jetstream().add_stream(name="ALERTS", subjects=["alerts.>"])
        yield Stream(client)
    finally:
        await client.close()


def ids(numbers: range | list[int]) -> list[str]:
    return [f"alert-{number}" for number in numbers]
