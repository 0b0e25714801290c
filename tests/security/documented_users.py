"""docs/reference/nats-users.conf: its users, what each is allowed, and the file with a line less.

Also the streams and the messages that make the service need every one of its permissions.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import nats
from broker import Broker
from nats.js.api import KeyValueConfig

from engine.service.permissions import Permission

FILE: Final = Path(__file__).parents[2] / "docs" / "reference" / "nats-users.conf"
TEXT: Final = FILE.read_text("utf-8")
RULES: Final = """
EVENT flow LATE 1m { app: string }
EVENT crash { app: string }
EVENT silence { app: string }
RULE flow then crash { BY device, app WHEN flow THEN crash WITHIN 10m SEVERITY high }
RULE flow then nothing { BY device, app WHEN flow THEN NO silence FOR 10m SEVERITY low }
"""
STREAMS: Final = {
    "EVENTS": ["events.>"],
    "ALERTS": ["alerts.>"],
    "OCSF": ["ocsf.>"],
    "DLQ": ["dlq.thenwire.>", "late.thenwire.>"],
}
_NOW_MS: Final = 1_772_438_400_000
MESSAGES: Final = [
    {"kind": "flow", "device": "d1", "app": "a", "time": _NOW_MS},
    {"kind": "crash", "device": "d1", "app": "a", "time": _NOW_MS + 60_000},
    {"kind": "flow", "device": "d1", "app": "a", "time": _NOW_MS + 3_600_000},
    # Late by an hour, and one without a time.
    {"kind": "flow", "device": "d1", "app": "a", "time": _NOW_MS + 1},
    {"kind": "flow", "device": "d1", "app": "a"},
]
PATIENCE_SECONDS: Final = 20


def lacks(permission: Permission) -> str:
    """The sentence for one that is missing."""
    return f'The NATS user lacks a permission: {permission.verb} to "{permission.subject}".'


def command_line(name: str) -> list[str]:
    """The words after ``thenwire`` in the comment that stands over a user."""
    found = re.search(rf"# thenwire ([^\n]*)\n +\{{\n +user: {name}\n", TEXT)
    assert found is not None
    return found[1].partition(",")[0].split()


def listed(name: str, text: str = TEXT) -> list[Permission]:
    """The permissions of a user, in the order of the file."""
    block = text[text.index(f"user: {name}\n") :]
    publish = block[block.index("publish: { allow: [") : block.index("subscribe:")]
    subscribe = block[block.index("subscribe:") :].partition("] }")[0]
    line = re.compile(r'^ +"([^"]+)" +#', re.MULTILINE)
    return [
        *(Permission("publish", subject, "") for subject in line.findall(publish)),
        *(Permission("subscribe", subject, "") for subject in line.findall(subscribe)),
    ]


def without(name: str, permission: Permission, text: str = TEXT) -> str:
    """The file without one permission of one user. Not an empty list: that would allow everything."""
    start = text.index(f"user: {name}\n")
    head, rest = text[:start], text[start:]
    changed = re.sub(
        rf'^ +"{re.escape(permission.subject)}" +#', '"nothing" #', rest, count=1, flags=re.MULTILINE
    )
    assert changed != rest
    if permission.subject.startswith("$JS.ACK"):
        # An acknowledgement goes where the message asks for it, so it passes for an answer, for two minutes.
        changed = changed.replace("allow_responses: true", "")
    return head + changed


def without_options(*options: str) -> str:
    """The file without the lines that are there only for these options, and those that follow from them."""
    text = TEXT
    for option in options:
        text = re.sub(rf'^ +"[^"]+" +#[^\n]*only with {re.escape(option)}\n', "", text, flags=re.MULTILINE)
    if "--state kv:THENWIRE" in options:
        text = re.sub(r'^ +"[^"]+" +# only with that,[^\n]*\n', "", text, flags=re.MULTILINE)
    if "--endpoints" in options:
        text = text.replace("        allow_responses: true\n", "")
    return text


@asynccontextmanager
async def operated(broker: Broker, *, direct: bool = True, streams: bool = True) -> AsyncIterator[Any]:
    """The operator's connection; with the streams and the bucket there, and events in the input."""
    client = await nats.connect(broker.url, user="operator", password="operator-secret")
    try:
        jetstream = client.jetstream()
        made = STREAMS if streams else {"EVENTS": STREAMS["EVENTS"]}
        for name, subjects in made.items():
            await jetstream.add_stream(name=name, subjects=subjects, duplicate_window=7200)
        if streams:
            await jetstream.create_key_value(KeyValueConfig(bucket="THENWIRE", history=1, direct=direct))
        for message in MESSAGES:
            await jetstream.publish("events.x", msgspec.json.encode(message))
        yield client
    finally:
        await client.close()


async def has_done_everything(client: Any, alerts: tuple[str, ...] = ("ALERTS", "OCSF")) -> bool:
    """Whether the service has needed each permission once."""
    jetstream = client.jetstream()
    if not (await jetstream.stream_info("EVENTS")).state.consumer_count:
        return False
    try:
        position = (await jetstream.consumer_info("EVENTS", "thenwire")).ack_floor
        stored = [(await jetstream.stream_info(name)).state.messages for name in alerts]
        letters = (await jetstream.stream_info("DLQ")).state.messages
    except nats.js.errors.NotFoundError:
        return False
    # The service's own tick is the message after the last one.
    return position is not None and position.stream_seq > len(MESSAGES) and min(stored) >= 1 and letters >= 2
