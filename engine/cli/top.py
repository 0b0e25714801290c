"""``thenwire top``: a running service, live."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dsl.units import duration_ms
from engine.cli.common import UsageError, complain, out
from engine.cli.show import safe

# What needs a NATS client is imported when it is used: other commands start faster without.

SORTS = ("matches", "cost", "fits", "devices", "name")


def top(
    *,
    server: str | None = None,
    consumer: str | None = None,
    interval: str = "2s",
    rules: int = 20,
    sort: str = "matches",
    once: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show a running service: rates, lag, rules by matches and cost, checkpoints; until Ctrl-C.

    It asks the service's endpoint `status` over NATS. How to log in comes from the environment, as for `run`.

    Parameters
    ----------
    server
        Addresses with commas between them; default NATS_URL, else nats://127.0.0.1:4222.
    consumer
        The consumer of the service to look at.
    interval
        Time between two looks.
    rules
        So many rules are shown.
    sort
        What rules are sorted by: matches, cost (time in the engine), fits, devices or name.
    once
        Look twice, the interval apart, print what was found, and end.
    json
        JSON instead of a picture: one object a look, with the rates since the look before.
    """
    from engine.service.errors import ServiceError, SettingsError
    from engine.service.serve import run_loop
    from engine.service.settings import load_settings

    given: dict[str, Any] = {"servers": server, "consumer": consumer}
    try:
        settings = load_settings({k: v for k, v in given.items() if v is not None}, os.environ)
        pause = duration_ms(interval) / 1_000
    except (ValueError, SettingsError) as error:
        raise UsageError(str(error)) from None
    if sort not in SORTS:
        raise UsageError(f"--sort is one of {', '.join(SORTS)}, not `{sort}`")
    if pause < 0.1 or rules < 0:
        raise UsageError("--interval is at least 100ms, --rules at least 0")
    if not (once or json or out.is_terminal):
        raise UsageError("this is no terminal: use --once, --json or both")
    # What is wrong with the connection is said in one sentence at the end, not over the picture.
    logging.getLogger("thenwire.service").addHandler(logging.NullHandler())
    settings = msgspec.structs.replace(settings, connect_timeout=min(settings.connect_timeout, 5.0))
    try:
        run_loop(_watch(settings, pause, rules, sort, once, json))
    except ServiceError as error:
        complain(str(error))
        return 2
    return 0


async def _watch(settings: Any, pause: float, rules: int, sort: str, once: bool, json: bool) -> None:
    from engine.service.operations.answers import StatusRequest
    from engine.service.operations.asking import Asking
    from engine.service.operations.rates import rates
    from engine.service.operations.status import Status

    request = StatusRequest(rules=1_000, kinds=1_000)
    async with Asking(settings) as asking:
        before = await asking.ask("status", request, Status)
        with contextlib.ExitStack() as stack:
            live = None
            if not (once or json):
                live = stack.enter_context(Live(console=out, screen=True, auto_refresh=False))
                live.update(picture(before, rates(before, before), rules, sort), refresh=True)
            while True:
                await asyncio.sleep(pause)
                status = await asking.ask("status", request, Status)
                since = rates(before, status)
                before = status
                if json:
                    print(msgspec.json.encode({"status": status, "rates": since}).decode(), flush=True)
                elif live is not None:
                    live.update(picture(status, since, rules, sort), refresh=True)
                else:
                    out.print(picture(status, since, rules, sort))
                if once:
                    return


def picture(status: Any, since: Any, most: int, sort: str) -> RenderableType:
    """One look as a table of figures and a table of rules."""
    return Group(_head(status), Text(), _figures(status, since), Text(), _rules(status, since, most, sort))


def _head(status: Any) -> Text:
    ready = (
        Text("ready", "bold green")
        if status.ready
        else Text.assemble(("not ready: ", "bold red"), safe(status.reason))
    )
    source = f"  {status.input.stream} as {status.input.consumer}  up {span(status.uptime)}  "
    return Text.assemble(("thenwire ", "bold"), safe(status.version), safe(source), ready)


def _figures(status: Any, since: Any) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
    checkpoint = status.checkpoint
    lag = status.input.lag_messages
    behind = status.input.lag_seconds
    columns = (
        (
            ("messages/s", rate(since.messages)),
            ("events/s", rate(since.events)),
            ("alerts/s", rate(since.alerts)),
            ("late/s", rate(since.late)),
            ("lag", "?" if lag is None else f"{lag:,}"),
            ("lag in time", "?" if behind is None else span(behind)),
        ),
        (
            (
                "checkpoint",
                "-" if checkpoint is None or checkpoint.age is None else f"{span(checkpoint.age)} ago",
            ),
            ("  its size", "-" if checkpoint is None else size(checkpoint.bytes)),
            ("  it took", "-" if checkpoint is None else short(checkpoint.seconds)),
            ("loop held", short(status.loop_delay)),
            ("unsettled", f"{status.output.unsettled:,}"),
            ("sent again", f"{status.output.resent:,}"),
        ),
        (
            ("reconnects", f"{status.input.reconnects:,}"),
            ("lost", f"{status.input.lost:,}"),
            ("dead letters", f"{sum(status.dead_letters.values()):,}"),
            ("alerts", f"{status.alerts:,}"),
            ("suppressed", f"{sum(rule.suppressed for rule in status.rules):,}"),
            ("dropped at caps", f"{sum(rule.dropped for rule in status.rules):,}"),
        ),
    )
    for row in zip(*columns, strict=True):
        table.add_row(*(part for name, value in row for part in (Text(name, "dim"), value)))
    return table


def _rules(status: Any, since: Any, most: int, sort: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"rule ({len(status.rules):,}, by {sort})", no_wrap=True, overflow="ellipsis")
    for heading in ("matches", "fits/s", "fits", "devices", "per fit", "load"):
        table.add_column(heading, justify="right", no_wrap=True)
    loads = since.rule_load
    order = {
        "matches": lambda rule: (-rule.matches, -rule.fits, rule.name),
        "fits": lambda rule: (-rule.fits, rule.name),
        "devices": lambda rule: (-rule.devices, rule.name),
        "cost": lambda rule: (-loads.get(rule.name, 0.0), -(rule.cost or 0.0), rule.name),
        "name": lambda rule: rule.name,
    }[sort]
    for rule in sorted(status.rules, key=order)[:most]:
        name = rule.name.replace("_", " ") + ("" if rule.status == "live" else f" ({rule.status})")
        load = loads.get(rule.name)
        table.add_row(
            safe(name),
            f"{rule.matches:,}",
            rate(since.rule_fits.get(rule.name, 0.0)),
            f"{rule.fits:,}",
            f"{rule.devices:,}",
            "-" if rule.cost is None else short(rule.cost),
            "-" if load is None else f"{load:.2%}",
        )
    return table


def rate(value: float) -> str:
    """A number a second."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def span(seconds: float) -> str:
    """A length of time in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def short(seconds: float) -> str:
    """A short time in a unit that shows it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def size(count: float) -> str:
    """Bytes in a unit that shows them."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
