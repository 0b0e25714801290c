"""``thenwire coverage``: which rules can see anything, and why not."""

from __future__ import annotations

import contextlib
import csv
import os
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

import dsl
from dsl.units import duration_ms
from engine.cli.common import UsageError, complain, err, load_rules, out, plural, print_diagnostics
from engine.cli.recordings import opened, reading_progress
from engine.cli.show import safe
from engine.replay import Recording, Replay
from engine.report.attack_layer import encode_layer, layer_of
from engine.report.coverage import BLIND, DEGRADED, EVALUABLE, Coverage, WatchingMatcher, coverage_of
from engine.report.coverage.markdown import to_markdown
from engine.report.coverage.observer import ALL, Listed
from engine.sources import SOURCES, times

_STYLES = {EVALUABLE: "green", DEGRADED: "yellow", BLIND: "bold red"}
_MOST_REASONS = 4
"""Of a rule in the table; --markdown and --json have all."""


def coverage(
    *paths: Annotated[str, Parameter(allow_leading_hyphen=True)],
    json: Annotated[bool, Parameter(negative="")] = False,
    markdown: Annotated[bool, Parameter(negative="")] = False,
    layer: Path | None = None,
    group: str | None = None,
    devices: Path | None = None,
    retention: str | None = None,
    server: str | None = None,
    stream: str | None = None,
    since: str | None = None,
    source: str | None = None,
    device: str | None = None,
    time_zone: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> int:
    """Say for each rule, platform and group of devices: EVALUABLE, DEGRADED or BLIND, and why.

    Without recordings rules are held against the sources that thenwire knows; with recordings or a server,
    against what came. The exit code is 1 if a rule is BLIND anywhere.

    Parameters
    ----------
    paths
        Files or folders of .rule files or shipped packs, and recordings; `-` is standard input.
    json
        One JSON object with all figures.
    markdown
        A page of Markdown with all figures.
    layer
        Write an ATT&CK Navigator layer (format 4.5) to this file, too.
    group
        The field that says a device's group.
    devices
        CSV of the devices there are: columns device and, if wanted, group and platform (ios, android).
    retention
        How long the input is kept, such as 7d.
    server
        In place of recordings: read what the input stream of a running service holds. Log in as for `run`.
    stream
        The service's input stream.
    since
        Only what the stream has stored in the last so long, such as 24h.
    source
        The format of all recordings, where the content does not show it.
    device
        The device of records that do not name one.
    time_zone
        Where the clock stood of logs with local times: `+02:00`, or a name such as `Europe/Lisbon`.
    set_
        PARAM=value, as a deployment would set it.
    """
    recordings = [path for path in paths if _is_recording(path)]
    rules = [path for path in paths if not _is_recording(path)]
    unknown = next((name for name in rules if name.startswith("-")), None)
    if unknown is not None:
        raise UsageError(f"there is no option `{unknown}`")
    if json and markdown:
        raise UsageError("json and markdown are two formats; give one")
    if source is not None and source not in SOURCES:
        raise UsageError(f"there is no source `{source}`; the sources are {', '.join(SOURCES)}")
    if group is not None and devices is not None:
        raise UsageError("--group and --devices both say a device's group; give one")
    try:
        zone = None if time_zone is None else times.zone(time_zone)
        kept = None if retention is None else duration_ms(retention)
        back = None if since is None else duration_ms(since)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if recordings and server is not None:
        raise UsageError("recordings and --server are two inputs; give one")
    if server is None and (stream is not None or since is not None):
        raise UsageError("--stream and --since are about a service; name it with --server")
    ruleset = load_rules(rules, set_ or ())
    _check_group(ruleset, group)
    matcher = WatchingMatcher(ruleset, () if devices is None else _listed(devices), group)
    print_diagnostics(ruleset, [*ruleset.errors, *matcher.diagnostics], err)
    if not ruleset.rules:
        raise UsageError("there are no rules")
    recorded = bool(recordings) or devices is not None or server is not None
    if server is not None:
        age = _from_service(matcher, server, stream, back)
        kept = age if kept is None else kept
    elif not _from_files(matcher, [(name, source, device, zone) for name in recordings]):
        complain("nothing could be read")
        return 2
    found = coverage_of(ruleset, matcher, recorded=recorded, retention_ms=kept)
    if layer is not None:
        _write(layer, encode_layer(layer_of(found)))
    if json:
        print(msgspec.json.encode(found).decode())
    elif markdown:
        print(to_markdown(found), end="")
    else:
        _show(found)
    return 1 if any(row.verdict == BLIND for row in found.rules) or ruleset.errors else 0


def _from_files(
    matcher: WatchingMatcher, files: list[tuple[str, str | None, str | None, tzinfo | None]]
) -> bool:
    """Feed recordings; False if there was something, and nothing of it could be read."""
    with contextlib.ExitStack() as stack:
        inputs = [Recording(opened(name, stack), name, *how) for name, *how in files]  # type: ignore[arg-type]
        progress = stack.enter_context(reading_progress())
        task = progress.add_task("reading", total=None)
        work = Replay(matcher, inputs, lambda records: progress.update(task, completed=records))
        for _ in work.run():
            pass
    _refusals(work.tally.refused)
    return bool(work.tally.records) or not work.tally.refused


def _from_service(
    matcher: WatchingMatcher, server: str, stream: str | None, back_ms: int | None
) -> int | None:
    """Feed what a service's input stream holds; how long the stream keeps it, in milliseconds."""
    from engine.service.errors import ServiceError, SettingsError
    from engine.service.serve import run_loop
    from engine.service.settings import load_settings
    from engine.service.stored import feed_stored

    given = {"servers": server} | ({} if stream is None else {"input_stream": stream})
    since = None if back_ms is None else datetime.now(UTC) - timedelta(milliseconds=back_ms)
    try:
        settings = load_settings(given, os.environ)
        with reading_progress() as progress:
            task = progress.add_task("reading", total=None)
            done = run_loop(
                feed_stored(settings, matcher, since, lambda count: progress.update(task, completed=count))
            )
    except (SettingsError, ServiceError) as error:
        raise UsageError(str(error)) from None
    _refusals(done.refused)
    return done.max_age_ms


def _refusals(refused: dict[str, int]) -> None:
    for reason, count in sorted(refused.items()):
        err.print(safe(f"{plural(count, 'record')} refused: {reason}", "yellow"))


def _is_recording(path: str) -> bool:
    return path == "-" or (not path.endswith(".rule") and Path(path).is_file())


def _check_group(ruleset: dsl.RuleSet, group: str | None) -> None:
    if group is None or group in ("source", "attribution", "quality"):
        return
    if not any(group in event.fields for event in ruleset.events.values()):
        raise UsageError(f"no EVENT has a field `{group}`")


def _listed(path: Path) -> list[Listed]:
    """The devices of an inventory."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if "device" not in (rows.fieldnames or ()):
                raise UsageError(f"`{path}` has no column `device`")
            return [
                Listed(row["device"], row.get("group") or ALL, (row.get("platform") or "").lower() or None)
                for row in rows
                if row["device"]
            ]
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {(error.strerror or 'not readable').lower()}") from None
    except (UnicodeDecodeError, csv.Error):
        raise UsageError(f"`{path}` is no CSV in UTF-8") from None


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"`{path}` cannot be written: {(error.strerror or 'not writable').lower()}"
        ) from None


def _show(found: Coverage) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("rule", "platform", "group", "verdict", "devices", "why"):
        table.add_column(heading, no_wrap=heading not in ("rule", "why"), overflow="fold")
    for row in found.rules:
        devices = "" if row.devices is None else f"{row.devices.evaluable:,} of {row.devices.all:,}"
        more = len(row.reasons) - _MOST_REASONS
        reasons = [*row.reasons[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else [])]
        table.add_row(
            safe(row.rule.replace("_", " ")),
            row.platform,
            safe(row.group),
            Text(row.verdict, _STYLES[row.verdict]),
            devices,
            safe(reasons[0]) if reasons else "",
        )
        for reason in reasons[1:]:
            table.add_row("", "", "", "", "", safe(reason))
    out.print(table)
    counts = {verdict: sum(row.verdict == verdict for row in found.rules) for verdict in _STYLES}
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    if found.basis == "rules":
        err.print(f"{summary}; by the sources that thenwire knows, nothing was read")
    else:
        err.print(f"{summary}; {plural(found.events, 'event')} of {plural(found.devices, 'device')}")
        if found.uncounted:
            err.print(f"{plural(found.uncounted, 'event')} of further devices, which were not told apart")
