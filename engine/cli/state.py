"""``thenwire state``: what a running or stopped service has stored."""

from __future__ import annotations

import base64
import datetime
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

from engine.cli.common import UsageError, complain, load_rules, out, plural
from engine.service.checkpoints.model import DamagedStateError, Saved, StateStore, StoreUnavailableError
from engine.service.errors import ServiceError, SettingsError
from engine.service.settings import Settings, load_settings

app = App(name="state", help="Look at the stored state of a service, check it, or forget it.")
_LARGEST = 10


class _NoStateError(Exception):
    """There is no state, or none that can be used; the message is one sentence, and the exit code 1."""


@app.command
def inspect(
    file: str,
    *,
    device: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    servers: str | None = None,
    stream: str | None = None,
    consumer: str | None = None,
) -> int:
    """Say what a state is of, where in the stream it stands, and how large it is.

    The service may be running meanwhile. Exit code 1 if there is no state in the file.

    Parameters
    ----------
    file
        The state file, or kv:BUCKET.
    device
        Show what is known of this device only.
    json_
        For programs.
    servers
        For a bucket: addresses with commas between them; default NATS_URL.
    stream
        For a bucket: the input stream.
    consumer
        For a bucket: the consumer of the service; default thenwire.
    """
    try:
        saved = _saved(file, servers, stream, consumer)
    except _NoStateError as error:
        complain(str(error))
        return 1
    if device is not None:
        return _one(saved, device, json_)
    of_devices = _by_device(saved)
    sizes = sorted(
        ((sum(map(len, states.values())), device) for device, states in of_devices.items()), reverse=True
    )
    if json_:
        facts = msgspec.to_builtins(saved.mark) | {
            "devices": len(of_devices),
            "device_bytes": sum(size for size, _ in sizes),
            "shared_bytes": len(saved.shared) + sum(map(len, _of_no_device(saved))),
            "largest": [{"device": name, "bytes": size} for size, name in sizes[:_LARGEST]],
        }
        _print_line(facts)
        return 0
    _show(saved, sizes)
    return 0


@app.command
def export(
    file: str, *, servers: str | None = None, stream: str | None = None, consumer: str | None = None
) -> int:
    """Print a state as JSON lines: first what it is of, then what belongs to no device, then a line for each
    device: under "state" what rules know of it, under "learned" what its baselines do.

    The form of what is known of a device belongs to the version that wrote it, and may change. Exit code 1 if
    there is no state in the file.

    Parameters
    ----------
    file
        The state file, or kv:BUCKET.
    servers
        For a bucket: addresses with commas between them; default NATS_URL.
    stream
        For a bucket: the input stream.
    consumer
        For a bucket: the consumer of the service; default thenwire.
    """
    try:
        saved = _saved(file, servers, stream, consumer)
    except _NoStateError as error:
        complain(str(error))
        return 1
    _print_line({"mark": msgspec.to_builtins(saved.mark)})
    _print_line({"bytes": len(saved.shared), "shared": _plain(saved.shared)})
    for part in _of_no_device(saved):
        _print_line({"device": None, "bytes": len(part), "learned": _plain(part)})
    for device, states in _by_device(saved).items():
        _print_line(_of_device(device, states))
    return 0


@app.command
def verify(
    file: str,
    *,
    rules: Annotated[list[str], Parameter(negative="", consume_multiple=True)],
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    servers: str | None = None,
    stream: str | None = None,
    consumer: str | None = None,
) -> int:
    """Load a state into the given rules and write it again: both must be the same.

    Exit code 1 if there is no state, it is of other rules, damaged, or does not come back as it was.

    Parameters
    ----------
    file
        The state file, or kv:BUCKET.
    rules
        Files or folders of .rule files, or the name of a shipped pack.
    set_
        PARAM=value.
    servers
        For a bucket: addresses with commas between them; default NATS_URL.
    stream
        For a bucket: the input stream.
    consumer
        For a bucket: the consumer of the service; default thenwire.
    """
    from engine.matcher import Matcher
    from engine.reload.prepare import make_matcher
    from engine.service.rules.processor import inner_state
    from engine.state import OtherState, digest, parts

    ruleset = load_rules(rules, set_ or ())
    try:
        saved = _saved(file, servers, stream, consumer)
    except _NoStateError as error:
        complain(str(error))
        return 1
    inner = inner_state(saved.shared)
    make, shared = (Matcher, saved.shared) if inner is None else (make_matcher, inner)
    first, second = make(ruleset), make(ruleset)
    if digest(first) != saved.mark.rules:
        complain(f"the state in {file} is of other rules or PARAMs than these")
        return 1
    try:
        parts.restore(first, shared, saved.devices)
        written = first.snapshot()
        second.restore(written)
    except OtherState as error:
        complain(f"the state in {file} cannot be loaded: {error}")
        return 1
    if second.snapshot() != written:
        complain(f"the state in {file} does not come back as it was written; this is a bug worth reporting")
        return 1
    devices = len({device for runtime in first.runtimes for device in runtime.devices})
    out.print(
        f"{file} is whole: {plural(len(first.rules), 'rule')}, {plural(devices, 'device')} in partial "
        f"matches or alerts, {plural(len(written), 'byte')}"
    )
    return 0


@app.command
def reset(
    file: str, *, servers: str | None = None, stream: str | None = None, consumer: str | None = None
) -> int:
    """Forget a state. The service must not be running; it then begins anew where it last acknowledged.

    Parameters
    ----------
    file
        The state file, or kv:BUCKET.
    servers
        For a bucket: addresses with commas between them; default NATS_URL.
    stream
        For a bucket: the input stream.
    consumer
        For a bucket: the consumer of the service; default thenwire.
    """
    settings = _settings(file, servers, stream, consumer)
    if not file.startswith("kv:") and not Path(file).is_file():
        raise UsageError(f"there is no file {file}")

    async def work(store: StateStore) -> None:
        await store.reset()

    try:
        _with_store(settings, work, readonly=False)
    except _NoStateError as error:
        complain(str(error))
        return 1
    out.print(f"the state in {file} is forgotten")
    return 0


def _show(saved: Saved, sizes: list[tuple[int, str]]) -> None:
    mark = saved.mark
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column()
    rows = [
        ("stream", f"{mark.stream}, created {mark.stream_created}"),
        ("sequence", f"{mark.sequence:,}"),
        ("time of the input", _time(mark.received_ms)),
        ("written", _time(mark.written_ms) + (", at an orderly stop" if mark.final else "")),
        ("checkpoints", f"{mark.generation:,}"),
        ("rules", ", ".join(mark.rule_names) or "none"),
        ("digest of the rules", mark.rules),
        *((f"list {name}", digest) for name, digest in mark.lists.items()),
        *((name, text) for name, text in mark.notes.items()),
        ("devices", f"{len(sizes):,}, {sum(size for size, _ in sizes):,} bytes"),
        ("what belongs to none", f"{len(saved.shared) + sum(map(len, _of_no_device(saved))):,} bytes"),
        ("version", f"{mark.version}, format {mark.format}"),
    ]
    for name, value in rows:
        table.add_row(Text(_printable(name)), Text(_printable(value)))
    out.print(table)
    if sizes:
        largest = Table(box=None, title="largest", title_justify="left")
        largest.add_column("bytes", justify="right")
        largest.add_column("device")
        for size, name in sizes[:_LARGEST]:
            largest.add_row(f"{size:,}", Text(_printable(name)))
        out.print(largest)


def _one(saved: Saved, device: str, as_json: bool) -> int:
    states = _by_device(saved).get(device)
    if states is None:
        complain(f"nothing is known of the device `{_printable(device)}`")
        return 1
    line = _of_device(device, states)
    if as_json:
        _print_line(line)
    else:
        out.print(Text(msgspec.json.format(msgspec.json.encode(line), indent=2).decode("utf-8", "replace")))
    return 0


def _by_device(saved: Saved) -> dict[str, dict[str, bytes]]:
    """By device what rules know of it, as ``state``, and what baselines have learned, as ``learned``."""
    from engine.state.keys import part_of

    found: dict[str, dict[str, bytes]] = {}
    for key, part in saved.devices:
        device, is_learned = part_of(key)
        if device is None:
            continue
        found.setdefault(device, {})["learned" if is_learned else "state"] = part
    return dict(sorted(found.items()))


def _of_no_device(saved: Saved) -> list[bytes]:
    """What baselines have learned of no device in particular."""
    from engine.state.keys import part_of

    return [part for key, part in saved.devices if part_of(key)[0] is None]


def _of_device(device: str, states: dict[str, bytes]) -> dict[str, Any]:
    size = sum(map(len, states.values()))
    return {"device": device, "bytes": size, **{name: _plain(state) for name, state in states.items()}}


def _saved(file: str, servers: str | None, stream: str | None, consumer: str | None) -> Saved:
    async def work(store: StateStore) -> Saved | None:
        return await store.load()

    saved: Saved | None = _with_store(_settings(file, servers, stream, consumer), work, readonly=True)
    if saved is None:
        raise _NoStateError(f"there is no state in {file}")
    return saved


def _settings(file: str, servers: str | None, stream: str | None, consumer: str | None) -> Settings:
    given = {
        "state": file,
        "manage_streams": False,
        "servers": servers,
        "input_stream": stream,
        "consumer": consumer,
    }
    try:
        return load_settings({name: value for name, value in given.items() if value is not None}, os.environ)
    except SettingsError as error:
        raise UsageError(str(error)) from None


def _with_store(settings: Settings, work: Any, *, readonly: bool) -> Any:
    """Run ``work`` with the open store. What is wrong with the store is a `UsageError`."""
    from engine.service.checkpoints.places import BUCKET, state_store
    from engine.service.checkpoints.sqlite import SqliteStore
    from engine.service.connection import Connection
    from engine.service.serve import run_loop

    async def inside() -> Any:
        file = settings.state or ""
        connection = None
        if file.startswith(BUCKET):
            store = state_store(settings, {})
            connection = Connection(settings)
        else:
            store = SqliteStore(Path(file), readonly=readonly)
        assert store is not None
        try:
            if connection is not None:
                await connection.open()
            await store.open(connection)
            return await work(store)
        finally:
            await store.close()
            if connection is not None:
                await connection.close()

    try:
        return run_loop(inside())
    except DamagedStateError as error:
        # A finding about the state, not about how it was asked for.
        raise _NoStateError(str(error).rstrip(".")) from None
    except ServiceError as error:
        raise UsageError(str(error).rstrip(".")) from None
    except StoreUnavailableError as error:
        raise UsageError(f"{settings.state} cannot be read: {error}") from None


def _plain(state: bytes) -> Any:
    """Bytes that hold MessagePack as plain data, others as Base64 (RFC 4648)."""
    try:
        found = msgspec.msgpack.decode(state)
        msgspec.json.encode(found)
    except (msgspec.MsgspecError, ValueError, TypeError):
        return base64.b64encode(state).decode()
    return found


def _print_line(value: Any) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode("utf-8", "replace") + "\n")


def _time(epoch_ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(epoch_ms / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(text: str) -> str:
    """Without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
