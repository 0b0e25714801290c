"""For programs that act on alerts: `alerts` gives them one by one, in order, over lost connections.

async with engine.client.alerts(durable="pager", severity="high") as stream:
    async for received in stream:
        page(received.alert)
        await received.ack()
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from engine.client.choice import SEVERITIES, Choice
from engine.client.received import Received, UnreadableAlertError
from engine.client.stream import AlertStream
from engine.service.errors import ServiceError, SettingsError
from engine.service.settings import Settings, load_settings, valid_name

__all__ = [
    "SEVERITIES",
    "AlertStream",
    "Received",
    "ServiceError",
    "Settings",
    "SettingsError",
    "UnreadableAlertError",
    "alerts",
]


def alerts(
    settings: Settings | Mapping[str, Any] | None = None,
    *,
    durable: str | None = None,
    severity: str | Iterable[str] = (),
    rule: str | None = None,
    device: str | None = None,
    shadow: bool = False,
    start: Literal["new", "all"] | datetime | None = None,
    follow: bool = True,
    on_unreadable: Callable[[UnreadableAlertError], None] | None = None,
) -> AlertStream:
    """A stream of alerts from NATS.

    Args:
        settings: as of the service; a mapping such as ``{"servers": "nats://..."}`` is completed from the
            environment (NATS_URL, NATS_CREDS, ...).
        durable: a name under which the server keeps the place. Every alert comes at least once, in order;
            after a restart the stream goes on behind the last `Received.ack`. One program reads under one
            name at a time. Without it the stream is live: nothing is acknowledged or kept.
        severity: those wanted, of the moment when the alert was created; all when empty.
        rule: the name of the one rule wanted.
        device: the one device wanted.
        shadow: alerts of rules on trial too (``META { status: shadow }``).
        start: where to begin when nothing is kept under the name: with ``new`` alerts (a live stream's
            default), with ``all`` that are stored (a durable one's), or with those since a moment.
        follow: wait for more; otherwise the iteration ends with the last alert that was stored when it began.
        on_unreadable: is called with a message that is no alert, instead of raising it.

    Raises `SettingsError` for a choice that makes no sense. A slow subscriber is waited for: nothing is
    dropped, and the server is asked for no more.
    """
    if not isinstance(settings, Settings):
        settings = load_settings(settings or {}, os.environ)
    if durable is not None and not valid_name(durable):
        raise SettingsError(f"A durable name is letters, digits, - and _, not {durable[:40]!r}.")
    if isinstance(start, datetime) and start.tzinfo is None:
        raise SettingsError("The moment to start from needs a time zone.")
    wanted = frozenset([severity] if isinstance(severity, str) else severity)
    return AlertStream(
        settings,
        Choice(wanted, rule, device, shadow),
        durable=durable,
        start=start or ("new" if durable is None else "all"),
        follow=follow,
        on_unreadable=on_unreadable,
    )
