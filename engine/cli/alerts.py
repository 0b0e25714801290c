"""``thenwire alerts``: the alerts in the stream, stored ones and those to come."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.text import Text

from dsl.units import duration_ms
from engine.alerts import Alert, printable
from engine.cli.common import UsageError, complain, out
from engine.cli.show import STYLES

# What needs a NATS client is imported when it is used: other commands start faster without.
if TYPE_CHECKING:
    from engine.client import AlertStream, UnreadableAlertError


def alerts(
    *,
    follow: Annotated[bool, Parameter(negative="")] = False,
    severity: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    rule: str | None = None,
    device: str | None = None,
    since: str | None = None,
    shadow: Annotated[bool, Parameter(negative="")] = False,
    durable: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    servers: str | None = None,
    context: str | None = None,
    inbox_prefix: str | None = None,
    stream: str | None = None,
) -> int:
    """Print the alerts that are stored, a line each; with --follow those to come.

    The exit code is 1 if a message of the stream was no alert. How to log in comes from the environment, as
    for `run`.

    Parameters
    ----------
    follow
        Print new alerts as they come, until Ctrl-C.
    severity
        Only these severities, of the moment when the alert was created.
    rule
        Only this rule.
    device
        Only this device.
    since
        Begin with alerts stored at most this long ago, such as 2h.
    shadow
        Alerts of rules on trial, too.
    durable
        Keep the place under this name, and go on there the next time.
    json
        One alert as JSON a line, whole.
    servers
        Addresses with commas between them; default NATS_URL, else nats://127.0.0.1:4222.
    context
        A context of the NATS command-line client; @ is the one that is selected there.
    inbox_prefix
        The first tokens of reply subjects, for a user who may not subscribe to _INBOX.>.
    stream
        The stream of alerts.
    """
    from engine import client
    from engine.service.errors import ServiceError, SettingsError
    from engine.service.serve import run_loop

    given: dict[str, Any] = {
        "servers": servers,
        "context": context,
        "inbox_prefix": inbox_prefix,
        "alerts_stream": stream,
    }
    unreadable: list[int] = []

    def refuse(error: UnreadableAlertError) -> None:
        unreadable.append(error.sequence)
        complain(printable(str(error)))

    try:
        source = client.alerts(
            {name: value for name, value in given.items() if value is not None},
            durable=durable,
            severity=severity or (),
            rule=rule,
            device=device,
            shadow=shadow,
            start=_start(since, follow, durable),
            follow=follow,
            on_unreadable=refuse,
        )
    except (ValueError, SettingsError) as error:
        raise UsageError(str(error)) from None
    try:
        run_loop(_print(source, json))
    except ServiceError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        if not follow:
            raise
    return 1 if unreadable else 0


def _start(since: str | None, follow: bool, durable: str | None) -> Any:
    if since is not None:
        return datetime.now(UTC) - timedelta(milliseconds=duration_ms(since))
    return "new" if follow and durable is None else "all"


async def _print(source: AlertStream, json: bool) -> None:
    async with source:
        async for received in source:
            if json:
                sys.stdout.write(json_line(received.payload) + "\n")
            else:
                out.print(alert_line(received.alert))
            # Acknowledged is only what the reader of a pipe can have.
            sys.stdout.flush()
            await received.ack()


def alert_line(alert: Alert) -> Text:
    """One revision of an alert as a line for a terminal; nothing in it can move the cursor."""
    severity = "closed" if alert.status == "closed" else alert.severity
    style = "dim" if alert.status == "closed" else STYLES.get(alert.severity, "")
    revision = "" if alert.revision == 1 else f" (revision {alert.revision})"
    return Text.assemble(
        f"{printable(alert.time).replace('T', ' ').removesuffix('Z'):23}  ",
        (f"{severity:8}  ", style),
        printable(f"{alert.rule.name.replace('_', ' ')}  {alert.device}  {alert.title}{revision}"),
    )


def json_line(payload: bytes) -> str:
    """A JSON text on one line, with what a terminal might obey written as ``\\u`` escapes."""
    text = msgspec.json.format(payload, indent=-1).decode()
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
