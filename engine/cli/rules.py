"""``thenwire rules``: rule sets in a key-value bucket, and what a service made of its rules."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from engine import packs
from engine.alerts import printable
from engine.cli.common import UsageError, complain, err, out, overrides, plural

app = App(name="rules", help="Rule sets in a key-value bucket, and what a service made of its rules.")
_Bucket = Annotated[str, Parameter(name="--bucket")]


@app.command
def push(
    *paths: str,
    bucket: _Bucket = "rules",
    servers: str | None = None,
    context: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> int:
    """Check a set, run its tests, and write it to a bucket; services take it within seconds.

    Parameters
    ----------
    paths
        Files or folders of .rule files, or the name of a shipped pack.
    bucket
        The bucket.
    servers
        Addresses with commas between them; default NATS_URL, else nats://127.0.0.1:4222.
    context
        A context of the NATS command-line client.
    set_
        PARAM=value.
    """
    from engine.reload.prepare import Refused, prepare
    from engine.service.errors import ServiceError
    from engine.service.rules.bucket import push as write
    from engine.service.rules.collect import collect
    from engine.service.serve import run_loop

    if not paths:
        raise UsageError("no rules are given; name files, folders or a shipped pack such as `mobile`")
    resolved = [packs.resolve(path) for path in paths]
    params = overrides(set_ or ())
    prepared = prepare(resolved, params)
    if isinstance(prepared, Refused):
        for problem in prepared.problems:
            err.print(Text(problem))
        complain(f"not pushed: {prepared.sentence}")
        return 1
    try:
        files = collect(resolved, prepared)
        done = run_loop(write(_settings(servers, context), bucket, files, params))
    except ServiceError as error:
        complain(str(error))
        return 2
    out.print(
        f"pushed {prepared.bundle.hash} to bucket {bucket} at revision {done.revision}: "
        f"{plural(done.files, 'file')}, {done.new_files} new ({done.new_bytes:,} bytes), "
        f"{plural(prepared.tests, 'test')} passed"
    )
    return 0


@app.command
def put(
    what: str,
    path: str,
    *,
    bucket: _Bucket = "rules",
    servers: str | None = None,
    context: str | None = None,
) -> int:
    """Write the exceptions, or the rules that are switched off, to a bucket.

    Parameters
    ----------
    what
        exceptions or off.
    path
        The file.
    bucket
        The bucket.
    servers
        Addresses with commas between them; default NATS_URL, else nats://127.0.0.1:4222.
    context
        A context of the NATS command-line client.
    """
    from engine.service.errors import ServiceError
    from engine.service.rules.bucket import EXCEPTIONS, OFF, put_text
    from engine.service.serve import run_loop

    if what not in (EXCEPTIONS, OFF):
        raise UsageError(f"what can be put is `{EXCEPTIONS}` or `{OFF}`, not `{what}`")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {(error.strerror or 'not readable').lower()}") from None
    try:
        revision = run_loop(put_text(_settings(servers, context), bucket, what, content))
    except ServiceError as error:
        complain(str(error))
        return 2
    out.print(f"{what} in bucket {bucket} at revision {revision}")
    return 0


@app.command
def status(
    *,
    bucket: str | None = None,
    consumer: str = "thenwire",
    servers: str | None = None,
    context: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """What a service made of its rules: the set in force, what was refused, what drains, what is withheld.

    Without a bucket the service itself is asked, so it must run with its endpoints (--endpoints).

    Parameters
    ----------
    bucket
        For rules in a bucket: read what the service has written there, whether it runs or not.
    consumer
        The name of the service's consumer.
    servers
        Addresses with commas between them; default NATS_URL, else nats://127.0.0.1:4222.
    context
        A context of the NATS command-line client.
    json
        As JSON.
    """
    from engine.service.errors import ServiceError
    from engine.service.rules.bucket import get_text
    from engine.service.serve import run_loop

    settings = _settings(servers, context, consumer)
    try:
        if bucket is None:
            raw: bytes | None = msgspec.json.encode(run_loop(_asked(settings)))
        else:
            raw = run_loop(get_text(settings, bucket, f"status.{consumer}"))
    except ServiceError as error:
        complain(str(error))
        return 2
    if raw is None:
        complain(f"no service with the consumer {consumer} has written to bucket {bucket}")
        return 1
    if json:
        print(raw.decode())
        return 0
    for line in status_lines(msgspec.json.decode(raw)):
        out.print(Text(printable(line)))
    return 0


async def _asked(settings: Any) -> dict[str, Any]:
    from engine.service.operations.answers import InForceAnswer
    from engine.service.operations.asking import Asking

    async with Asking(settings) as asking:
        return (await asking.ask("in_force", None, InForceAnswer)).status


def status_lines(found: dict[str, Any]) -> list[str]:
    """A status as people read it."""
    from engine.service.rules.warming import shown_progress

    count, since = plural(len(found["rules"]), "rule"), found["since_sequence"]
    lines = [f"{found['hash']}: {count} in force since sequence {since:,}"]
    if found.get("refused"):
        lines.append(f"refused {found['refused']['hash']}: {found['refused']['sentence']}")
    if found["pending"]:
        lines.append(f"{found['pending']} comes into force when what was read before is read again")
    if found.get("filling"):
        lines.append(shown_progress(found["filling"]))
    for drain in found["draining"]:
        until = datetime.fromtimestamp(drain["until_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines.append(f"draining until {until}: {', '.join(_spaced(name) for name in drain['rules'])}")
    if found["shadow"]:
        lines.append(f"in shadow: {', '.join(_spaced(name) for name in found['shadow'])}")
    lines += [
        f"off: {_spaced(one['rule'])}, {plural(one['withheld'], 'alert')} withheld" for one in found["off"]
    ]
    for one in found["exceptions"]:
        ends = f"expired with {one['expires']}" if one["expired"] else f"until the end of {one['expires']}"
        lines.append(
            f"exception {one['id']} of {one['author']} for {_spaced(one['rule'])} "
            f"where {one['where']}, {ends}: "
            f"{plural(one['withheld'], 'alert')} withheld; {one['reason']}"
        )
    written = found.get("written_ms")
    if written:
        lines.append(f"written {max(0, round(time.time() - written / 1000)):,} s ago")
    return lines


def _settings(servers: str | None, context: str | None, consumer: str | None = None) -> Any:
    from engine.service.errors import SettingsError
    from engine.service.settings import load_settings

    given = {"servers": servers, "context": context, "consumer": consumer}
    try:
        return load_settings({k: v for k, v in given.items() if v is not None}, os.environ)
    except SettingsError as error:
        raise UsageError(str(error)) from None


def _spaced(name: str) -> str:
    return name.replace("_", " ")
