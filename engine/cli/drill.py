"""``thenwire drill``: a harmless chain through a running service, and what became of it."""

from __future__ import annotations

import os
import secrets
import time
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from dsl.units import duration_ms
from engine.cli.common import UsageError, complain, err, load_rules, out, print_diagnostics
from engine.cli.show import safe

# What needs a NATS client is imported when it is used: other commands start faster without.


def drill(
    *,
    rules: Annotated[list[str], Parameter(negative="", consume_multiple=True)],
    rule: str,
    server: str | None = None,
    device: str | None = None,
    subject: str = "events.{kind}.{device}",
    stream: str | None = None,
    consumer: str | None = None,
    timeout: str = "30s",
    keep: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> int:
    """Inject the chain of a TEST for a canary device into a running service, and wait for the alert.

    The exit code is 0 if the alert came in time, 1 if not (the hop that failed is named), 2 if no drill could
    be held. How to log in comes from the environment, as for `run`.

    Parameters
    ----------
    rules
        The rules that the service runs: files or folders of .rule files, or the name of a shipped pack.
    rule
        The rule whose chain is injected.
    server
        Addresses with commas between them; default NATS_URL, else nats://127.0.0.1:4222.
    device
        The canary, a device that does not exist: its name begins with canary-. By default one is made up.
    subject
        Where its events are published; {kind} and {device} are put in.
    stream
        The service's input stream.
    consumer
        The service's consumer on it.
    timeout
        How long the service has to read the events, and as much again for the alert.
    keep
        Leave the canary's events and alerts in the streams.
    json
        One JSON object.
    set_
        PARAM=value, as the service was given.
    """
    from engine.service.drill import drill as held
    from engine.service.drill_chain import PREFIX, NotDrillable, chain_for
    from engine.service.drill_report import DrillRefused
    from engine.service.errors import SettingsError
    from engine.service.serve import run_loop
    from engine.service.settings import load_settings

    canary = device if device is not None else f"{PREFIX}{time.time_ns() // 1_000_000}-{secrets.token_hex(3)}"
    if not canary.startswith(PREFIX) or canary == PREFIX:
        raise UsageError(
            f"the device of a drill is called {PREFIX}..., so that nobody takes it for a real one"
        )
    _check_subject(subject)
    given: dict[str, Any] = {"servers": server, "input_stream": stream, "consumer": consumer}
    try:
        patience = duration_ms(timeout) / 1_000
        settings = load_settings({k: v for k, v in given.items() if v is not None}, os.environ)
        settings = msgspec.structs.replace(
            settings, connect_timeout=min(settings.connect_timeout, max(patience, 0.1))
        )
    except (ValueError, SettingsError) as error:
        raise UsageError(str(error)) from None
    ruleset = load_rules(rules, set_ or ())
    print_diagnostics(ruleset, ruleset.errors, err)
    try:
        chain = chain_for(ruleset, rule, canary, time.time_ns() // 1_000_000)
        report = run_loop(held(settings, chain, subject=subject, patience=patience, clean=not keep))
    except (NotDrillable, DrillRefused) as error:
        complain(str(error))
        return 2
    if json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)
    return 0 if report.ok else 1


def _check_subject(subject: str) -> None:
    filled = subject.replace("{kind}", "net.flow").replace("{device}", "canary-1")
    if (
        "{" in filled
        or not filled
        or any(not token or set(token) & set("*> \t") for token in filled.split("."))
    ):
        raise UsageError(f"`{subject}` is no subject to publish to, such as events.{{kind}}.{{device}}")


def _show(report: Any) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("hop", "", "ms", "what was found"):
        table.add_column(
            heading,
            justify="right" if heading == "ms" else "left",
            no_wrap=not heading.startswith("what"),
            overflow="fold",
        )
    for hop in report.hops:
        mark = Text("ok", "green") if hop.ok else Text("FAILED", "bold red")
        table.add_row(hop.name, mark, f"{hop.ms:,.0f}", safe(hop.detail))
    out.print(safe(f"{report.rule.replace('_', ' ')} with {report.device}: {report.test}"))
    out.print(table)
    for left in report.left:
        out.print(safe(f"left: {left}"))
    if report.other_version:
        out.print(Text("The service runs another version of the rule than the one given here.", "yellow"))
    if report.ok:
        out.print(Text(f"passed: alert after {report.alert_seconds:.3f} s", "bold green"))
    else:
        out.print(safe(f"failed at: {report.failed}", "bold red"))
