"""``thenwire baseline show``: what a baseline has seen of a device, as a table and a picture."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

import dsl
from dsl.diagnostics import did_you_mean
from engine.alerts import number, rfc3339
from engine.cli.common import UsageError, complain, err, load_rules, out, plural, print_diagnostics
from engine.cli.recordings import opened, reading_progress
from engine.cli.server_baseline import asked
from engine.cli.show import safe
from engine.explain.history import Histories, History, Point
from engine.explain.plot import LEGEND, MARKED, SCORE_LEGEND, is_amount, marked, plot
from engine.explain.plot_svg import svg_plot
from engine.replay import Recording, Replay
from engine.service.errors import ServiceError
from engine.sources import SOURCES

MOST_ROWS = 10
MOST_SHOWN = 12
"""Keys drawn; the others are named."""

app = App(name="baseline", help="What baselines have learned.")


@app.command
def show(
    *rules: str,
    input_: Annotated[list[str] | None, Parameter(name="--input", negative="", consume_multiple=True)] = None,
    device: str,
    server: str | None = None,
    consumer: str | None = None,
    since: str | None = None,
    app: str | None = None,
    baseline: Annotated[list[str] | None, Parameter(negative="")] = None,
    key: Annotated[list[str] | None, Parameter(negative="")] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    svg: Path | None = None,
    source: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> int:
    """Show the history of a device's baselines: values, centre, band, and what deviated.

    The recordings are read as `replay` reads them; all devices are learned from, one is shown. With --server,
    a running service is asked: it reads what its input stream holds, with the rules that it runs.

    Parameters
    ----------
    rules
        Files or folders of .rule files, or the name of a shipped pack; none with --server.
    input_
        Recordings; `-` is standard input, `.gz` is unpacked.
    device
        The device to show, and that of records that do not name one.
    server
        Ask the service on this NATS server instead: addresses with commas between them. How to log in comes
        from the environment, as for `run`.
    consumer
        The consumer of that service.
    since
        With --server: how far back its input stream is read, such as 7d; all by default.
    app
        The app to show; short for `--key app=...`.
    baseline
        A baseline to show; all by default.
    key
        FIELD=value: only keys with this value.
    json
        One JSON object a key, with every point, instead of pictures.
    svg
        Write the picture of the one key that is left to this file, too.
    source
        The format of all files, where the content does not show it.
    set_
        PARAM=value, as a deployment would set it.
    """
    if source is not None and source not in SOURCES:
        raise UsageError(f"there is no source `{source}`; the sources are {', '.join(SOURCES)}")
    wanted = {"device": device, **_pairs(key or ())}
    if app is not None:
        wanted["app"] = app
    if server is not None:
        if rules or input_ or source is not None or set_:
            raise UsageError("--server asks the service: give no rules, --input, --source or --set with it")
        try:
            found, left_out = asked(server, consumer, wanted, baseline or (), since)
        except ServiceError as error:
            complain(str(error))
            return 2
    else:
        if since is not None or consumer is not None:
            raise UsageError("--since and --consumer go with --server")
        recorded = _recorded(rules, input_ or (), wanted, baseline, source, set_ or ())
        if recorded is None:
            complain("nothing could be read")
            return 2
        found, left_out = recorded
    if not found:
        raise UsageError(f"nothing of `{device}` fed a baseline in what the stream holds")
    if svg is not None:
        _write(svg, found)
    if json:
        for history in found:
            sys.stdout.buffer.write(msgspec.json.encode(history) + b"\n")
        sys.stdout.buffer.flush()
        return 0
    for history in found[:MOST_SHOWN]:
        _print(history)
    left = found[MOST_SHOWN:]
    if left or left_out:
        out.print(f"{plural(len(left) + left_out, 'more key')}: choose with --baseline and --key")
    return 0


def _recorded(
    rules: Sequence[str],
    files: Sequence[str],
    wanted: dict[str, str],
    baselines: Sequence[str] | None,
    source: str | None,
    settings: Sequence[str],
) -> tuple[list[History], int] | None:
    """The histories in recordings, and how many keys were left out; None when nothing could be read."""
    if not files:
        raise UsageError("give recordings with --input, or a service with --server")
    ruleset = load_rules(rules, settings)
    print_diagnostics(ruleset, ruleset.errors, err)
    device = wanted["device"]
    histories = Histories(ruleset, wanted, _names(ruleset, baselines))
    with contextlib.ExitStack() as stack:
        recordings = [Recording(opened(name, stack), name, source, device) for name in files]
        progress = stack.enter_context(reading_progress())
        task = progress.add_task("reading", total=None)
        work = Replay(histories, recordings, lambda records: progress.update(task, completed=records))
        for _ in work.run():
            pass
    found = histories.histories()
    if not work.tally.records and work.tally.refused:
        return None
    if not found:
        seen = ", ".join(sorted(work.tally.devices)[:5])
        raise UsageError(
            f"nothing of `{device}` fed a baseline" + (f"; the recordings have {seen}" if seen else "")
        )
    return found, histories.keys_left_out


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--key takes field=value, not `{setting}`")
        found[name.strip()] = value
    return found


def _names(ruleset: dsl.RuleSet, asked: Sequence[str] | None) -> tuple[str, ...] | None:
    if not ruleset.baselines:
        raise UsageError("these rules declare no baseline")
    if not asked:
        return None
    names = tuple("_".join(name.replace("_", " ").split()) for name in asked)
    for name in names:
        if name not in ruleset.baselines:
            hint = did_you_mean(name, ruleset.baselines, "they are " + ", ".join(ruleset.baselines))
            raise UsageError(f"there is no baseline `{name.replace('_', ' ')}`; {hint}")
    return names


def _title(history: History) -> str:
    key = ", ".join(f"{field} {value}" for field, value in history.key.items()) or "the whole fleet"
    return f"{history.baseline} of {key}"


def _write(path: Path, found: list[History]) -> None:
    if len(found) > 1:
        keys = "; ".join(_title(history) for history in found[:4])
        raise UsageError(
            f"--svg draws one key, and {len(found)} are left ({keys}): choose with --baseline and --key"
        )
    try:
        path.write_text(svg_plot(found[0], _title(found[0])), "utf-8")
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written: {(error.strerror or 'no reason').lower()}") from None


def _print(history: History) -> None:
    """The picture, the values that deviated or else the newest, and how much was learned."""
    out.print(safe(_title(history)), style="bold")
    for line in plot(history):
        head, bar, cells = line.partition("|")
        out.print(Text.assemble(head, bar, *_coloured(cells)))
    first, last = history.points[0], history.points[-1]
    out.print(safe(f"{rfc3339(first.time_ms)} to {rfc3339(last.time_ms)}   {_legend(history)}"), style="dim")
    chosen = marked(history.points)
    heading = "deviated" if chosen else "newest"
    chosen = chosen or list(history.points)
    if len(chosen) > MOST_ROWS:
        heading += f", the last {MOST_ROWS} of {len(chosen):,}"
    out.print(_table(history, chosen[-MOST_ROWS:], heading))
    dropped = f", {history.dropped:,} older points not shown" if history.dropped else ""
    drift = "" if last.drift is None else f", drift {last.drift:.1f}"
    samples = plural(last.samples, "device" if history.using == "prevalence" else "sample")
    out.print(safe(f"{last.state}: {samples}, {last.scope} history{drift}{dropped}"))
    out.print()


def _legend(history: History) -> str:
    return LEGEND if is_amount(history) else SCORE_LEGEND


def _coloured(cells: str) -> Iterable[tuple[str, str]]:
    return [(cell, "bold red" if cell == MARKED else "") for cell in cells]


def _table(history: History, points: Sequence[Point], heading: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in (heading, "value", "usual", history.function):
        table.add_column(column, no_wrap=True)
    for point in points:
        value = point.value if isinstance(point.value, str) else number(point.value)
        usual = ""
        if point.low is not None and point.high is not None:
            usual = f"{number(round(point.low))} to {number(round(point.high))}"
        score = "cold" if point.score is None else f"{point.score:.3g}"
        table.add_row(rfc3339(point.time_ms), safe(value), usual, score)
    return table
