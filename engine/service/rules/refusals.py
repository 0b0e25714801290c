"""What is wrong with a rule set, published for who wrote it and looks at no log of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from typing import Final

import msgspec
from nats.errors import Error as NatsError

from engine.reload.prepare import Refused
from engine.service.connection import Connection
from engine.service.errors import ServiceError
from engine.service.settings import Settings
from engine.service.subjects import dead_letter

_log = logging.getLogger("thenwire.service")
REFUSED: Final = "rules_refused"
"""The reason of the dead letter that holds what is wrong with a set."""
_PUBLISH_SECONDS: Final = 5.0


async def publish_refusal(settings: Settings, refused: Refused, in_force: str) -> None:
    """Publish it once. ``in_force``: the hash of the rules that go on. What fails is logged."""
    payload = msgspec.json.encode(
        {
            "hash": refused.hash,
            "in_force": in_force,
            "sentence": refused.sentence,
            "problems": list(refused.problems),
            "records": list(refused.records),
        }
    )
    letter = dead_letter(
        reason=REFUSED,
        detail=f"The new rules are refused: {refused.sentence}.",
        payload=payload,
        stream="",
        sequence=0,
        subject="",
    )
    of_this = hashlib.sha256(payload).hexdigest()[:32]
    connection = Connection(settings)
    try:
        await connection.open()
        await connection.jetstream(_PUBLISH_SECONDS).publish(
            letter.subject, letter.payload, headers={**letter.headers, "Nats-Msg-Id": f"rules:{of_this}"}
        )
    except (ServiceError, NatsError, TimeoutError) as error:
        _log.warning("the refusal cannot be published: %s", error)
    finally:
        with contextlib.suppress(NatsError, ServiceError):
            await connection.close()
