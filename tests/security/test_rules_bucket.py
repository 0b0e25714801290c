"""Rules in a bucket, for a user who may do just what is documented for it, and with each permission
missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nats
import pytest
from broker import Broker

from engine.service.errors import ServiceError
from engine.service.permissions import Permission, needed_for_rules
from engine.service.rules.bucket import BucketRules, push
from engine.service.serve import run_loop
from engine.service.settings import Settings

BUCKET = "RULES"
RULES = "EVENT ping { host: string }  RULE twice { WHEN ping THEN ping WITHIN 10s }"


def _users(permissions: Iterable[Permission]) -> str:
    wanted = list(permissions)

    def allowed(verb: str) -> str:
        # An empty list would allow everything.
        subjects = ["nothing", *(one.subject for one in wanted if one.verb == verb)]
        return ", ".join(f'"{subject}"' for subject in subjects)

    return f"""
authorization {{ users: [
  {{ user: admin, password: admin }}
  {{ user: some, password: some, permissions: {{
      publish: {{ allow: [{allowed("publish")}] }}
      subscribe: {{ allow: [{allowed("subscribe")}] }} }} }}
] }}"""


def _settings(broker: Broker, user: str) -> Settings:
    return Settings(servers=(broker.url,), user=user, password=user, endpoints=True)


async def _pushed(broker: Broker, direct: bool) -> None:
    settings = _settings(broker, "admin")
    client = await nats.connect(broker.url, user="admin", password="admin")
    await client.jetstream().create_key_value(bucket=BUCKET, direct=direct)
    await client.close()
    await push(settings, BUCKET, {"x.rule": RULES.encode()}, {})


async def _used(broker: Broker, folder: Path) -> None:
    """What the service does with the bucket."""
    rules = BucketRules(BUCKET, folder, {})
    rules.settings = _settings(broker, "some")
    try:
        found: Any = await rules.first()
        assert found.matcher.rules == ("twice",)
        assert await rules.look() is None
        await rules.write_status("thenwire", {"hash": "x"})
    finally:
        await rules.close()


@pytest.mark.parametrize("direct", [True, False])
def test_the_documented_permissions_are_enough_and_a_missing_one_is_named(
    server_binary: Path, tmp_path: Path, direct: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading with direct access and without takes one permission or the other."""
    everything = needed_for_rules(Settings(), BUCKET)
    unused = "STREAM.MSG.GET" if direct else "DIRECT.GET"
    wanted = [one for one in everything if unused not in one.subject]

    async def scenario() -> None:
        with Broker(server_binary, tmp_path / "nats", _users(wanted)) as broker:
            await _pushed(broker, direct)
            await _used(broker, tmp_path / "sets")
            assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
            for times, missing in enumerate(wanted, 1):
                caplog.clear()
                broker.configure(_users(one for one in wanted if one is not missing))
                await _taken_over(broker, times)
                sentence = f'The NATS user lacks a permission: {missing.verb} to "{missing.subject}"'
                if missing.subject.startswith("$KV"):
                    # The rules run all the same.
                    await _used(broker, tmp_path / "sets")
                    assert sentence in caplog.text
                else:
                    with pytest.raises(ServiceError) as caught:
                        await _used(broker, tmp_path / "sets")
                    assert sentence in str(caught.value)

    run_loop(scenario())


async def _taken_over(broker: Broker, times: int) -> None:
    """Return when the server has read its configuration again so often."""
    for _ in range(200):
        if broker.log.count("Reloaded server configuration") >= times:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the server did not read its configuration again")
