"""``thenwire run``: the service."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from engine.cli.common import UsageError, complain, err, load_rules, plural, print_diagnostics
from engine.service.errors import ServiceError, SettingsError
from engine.service.settings import Settings, load_settings


def run(
    *,
    rules: Annotated[list[str], Parameter(negative="", consume_multiple=True)],
    servers: str | None = None,
    embedded: Annotated[bool, Parameter(negative="")] = False,
    embedded_directory: str | None = None,
    embedded_port: int | None = None,
    stream: str | None = None,
    verify_streams: Annotated[bool, Parameter(negative="")] = False,
    max_skew: str = "2m",
    ocsf: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    log_level: str = "info",
) -> int:
    """Run the rules over a NATS JetStream stream and publish alerts, until SIGTERM or Ctrl-C.

    How to log in comes from the environment: NATS_URL, NATS_CREDS, NATS_NKEY, NATS_USER, NATS_PASSWORD,
    NATS_CA, NATS_CERT, NATS_KEY.

    Parameters
    ----------
    rules
        Files or folders of .rule files, or the name of a shipped pack.
    servers
        Addresses with commas between them; default NATS_URL, else nats://127.0.0.1:4222.
    embedded
        Start a NATS server on this machine's loopback and use it.
    embedded_directory
        Where the embedded server keeps its streams.
    embedded_port
        The embedded server's port; any free one by default.
    stream
        The input stream.
    verify_streams
        Do not create streams, only check that they are as they must be.
    max_skew
        How far an event's time may lie ahead of its message.
    ocsf
        Publish each alert a second time under `ocsf.>`, as an OCSF Detection Finding.
    set_
        PARAM=value.
    log_level
        debug, info, warning or error.
    """
    from dsl.units import duration_ms
    from engine.service.matching import MatchingProcessor
    from engine.service.serve import serve

    try:
        skew = duration_ms(max_skew)
        settings = load_settings(
            _mapping(servers, embedded, embedded_directory, embedded_port, stream, verify_streams)
            | ({"ocsf": True} if ocsf else {}),
            os.environ,
        )
    except (ValueError, SettingsError) as error:
        raise UsageError(str(error)) from None
    level = logging.getLevelNamesMapping().get(log_level.upper())
    if level is None:
        raise UsageError(f"--log-level is debug, info, warning or error, not `{log_level}`")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    ruleset = load_rules(rules, set_ or ())
    processor = MatchingProcessor(ruleset, skew, settings.ocsf)
    print_diagnostics(ruleset, [*ruleset.errors, *processor.matcher.diagnostics], err)
    if not processor.matcher.rules:
        raise UsageError("no rule is left to run")

    def ready(effective: Settings) -> None:
        err.print(f"running {plural(len(processor.matcher.rules), 'rule')} on {', '.join(effective.servers)}")
        if effective.embedded:
            from engine.service.embedded import default_directory

            folder = effective.embedded_directory or default_directory(os.environ)
            err.print(f"clients log in with the token in {Path(folder) / 'server.conf'}")

    try:
        report = serve(settings, processor, on_ready=ready)
    except ServiceError as error:
        complain(str(error))
        return 2
    letters = sum(processor.dead_letters.values())
    err.print(
        f"stopped: {plural(report.messages, 'message')}, {plural(processor.events, 'event')}, "
        f"{plural(processor.alerts, 'alert')}, {plural(letters, 'dead letter')}; "
        f"acknowledged up to {report.last_sequence_acked}"
    )
    return 0


def _mapping(
    servers: str | None,
    embedded: bool,
    directory: str | None,
    port: int | None,
    stream: str | None,
    verify: bool,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "servers": servers,
        "embedded_directory": directory,
        "embedded_port": port,
        "input_stream": stream,
    }
    found = {name: value for name, value in found.items() if value is not None}
    if embedded:
        found["embedded"] = True
    if verify:
        found["manage_streams"] = False
    return found
