"""``thenwire run``: the service."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from engine.cli.common import UsageError, complain, err, plural
from engine.service.errors import ServiceError, SettingsError
from engine.service.settings import Settings, load_settings, without_login


def run(
    *,
    rules: Annotated[list[str], Parameter(negative="", consume_multiple=True)],
    servers: str | None = None,
    context: str | None = None,
    inbox_prefix: str | None = None,
    embedded: Annotated[bool, Parameter(negative="")] = False,
    embedded_directory: str | None = None,
    embedded_port: int | None = None,
    stream: str | None = None,
    verify_streams: Annotated[bool, Parameter(negative="")] = False,
    max_skew: str = "2m",
    ocsf: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    watch: bool = True,
    exceptions: str | None = None,
    off: str | None = None,
    state: str | None = None,
    checkpoint_interval: str | None = None,
    tick_after: str | None = None,
    fresh: Annotated[bool, Parameter(negative="")] = False,
    warm: str | None = None,
    http: str | None = None,
    endpoints: bool | None = None,
    log_level: str = "info",
    log_format: str | None = None,
) -> int:
    """Run the rules over a NATS JetStream stream and publish alerts, until SIGTERM or Ctrl-C.

    How to log in comes from a context, or from the environment: NATS_URL, NATS_CREDS, NATS_NKEY, NATS_USER,
    NATS_PASSWORD, NATS_TOKEN, NATS_CA, NATS_CERT, NATS_KEY, NATS_CONTEXT.

    Parameters
    ----------
    rules
        Files or folders of .rule files, the name of a shipped pack, or kv:BUCKET for a key-value bucket on
        the server. A changed set is put in force while the service runs.
    servers
        Addresses with commas between them; default NATS_URL, else nats://127.0.0.1:4222.
    context
        A context of the NATS command-line client; @ is the one that is selected there.
    inbox_prefix
        The first tokens of reply subjects, for a user who may not subscribe to _INBOX.>.
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
    watch
        Look for changed rule files.
    exceptions
        A file of exceptions: alerts that are known and not wanted.
    off
        A file that names rules, one a line, whose alerts are not published.
    state
        Where the state is kept between runs: a file, kv:BUCKET for a key-value bucket on the server, or none;
        by default a file in the user's state directory.
    checkpoint_interval
        How often it is stored; 5s by default.
    tick_after
        Silence of the stream after which the service publishes a tick into it, so that absences are decided;
        5s by default, 0s for never.
    fresh
        Throw a stored state away and begin with an empty one, at the same place of the stream.
    warm
        Where the rules begin without a past (a first start, --fresh, --state none): fill them first with what
        the stream still holds of so long before, such as 48h. Nothing is published of it. Likewise rules
        that a change brings while the service runs, beside the others.
    http
        Serve /healthz, /readyz and /metrics here: a port of 127.0.0.1, or host:port.
    endpoints
        Answer requests over NATS, such as those of `thenwire top`; by default only with --embedded.
    log_level
        debug, info, warning or error.
    log_format
        console or json; by default console on a terminal, else json.
    """
    from dsl.units import duration_ms
    from engine.cli.running_rules import begin, in_force_at
    from engine.service.checkpoints.places import state_store
    from engine.service.operations import logs
    from engine.service.operations.operating import Operations
    from engine.service.serve import serve

    try:
        skew = duration_ms(max_skew)
        settings = load_settings(
            _mapping(servers, embedded, embedded_directory, embedded_port, stream, verify_streams)
            | ({"ocsf": True} if ocsf else {})
            | ({"state": state} if state is not None else {})
            | ({"tick_after": tick_after} if tick_after is not None else {})
            | ({"checkpoint_interval": checkpoint_interval} if checkpoint_interval is not None else {})
            | ({"context": context} if context is not None else {})
            | ({"http_address": http} if http is not None else {})
            | ({"endpoints": endpoints} if endpoints is not None else {})
            | ({"inbox_prefix": inbox_prefix} if inbox_prefix is not None else {}),
            os.environ,
        )
        store = state_store(settings, os.environ)
    except (ValueError, SettingsError) as error:
        raise UsageError(str(error)) from None
    level = logging.getLevelNamesMapping().get(log_level.upper())
    if level is None:
        raise UsageError(f"--log-level is debug, info, warning or error, not `{log_level}`")
    if log_format is not None and log_format not in logs.FORMATS:
        raise UsageError(f"--log-format is {' or '.join(logs.FORMATS)}, not `{log_format}`")
    try:
        warm_ms = None if warm is None else duration_ms(warm)
    except ValueError as error:
        raise UsageError(f"--warm: {error}") from None
    secrets = logs.Secrets()
    secrets.hide_login(settings)
    logs.set_up(level, log_format, secrets)
    try:
        processor, rule_watch = begin(
            *(rules, set_ or (), settings), max_skew_ms=skew, watch=watch, exceptions=exceptions, off=off
        )
        rule_watch.warm_ms = warm_ms
        if store is None and processor.cannot_begin is not None:
            raise ServiceError(processor.cannot_begin)
    except ServiceError as error:
        complain(str(error))
        return 2

    def ready(effective: Settings) -> None:
        in_force_at(rule_watch, effective)
        where = ", ".join(without_login(url) for url in effective.servers)
        err.print(f"running {plural(len(processor.matcher.rules), 'rule')} on {where}")
        if effective.embedded:
            from engine.service.embedded import default_directory

            folder = effective.embedded_directory or default_directory(os.environ)
            err.print(f"clients log in with the token in {Path(folder) / 'server.conf'}")

    try:
        report = serve(
            settings,
            processor,
            on_ready=ready,
            observer=Operations(rule_watch.reload, secrets, rule_watch.status),
            store=store,
            fresh=fresh,
            warm_ms=warm_ms,
            companions=[rule_watch.run],
        )
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
