"""Rule sets in a JetStream key-value bucket.

One key, ``manifest``, names the files of a set with their SHA-256; the files stand under
``files.<sha256>``, so that a set changes at one revision and half of one is never read. ``exceptions`` holds
the exceptions file and ``off`` the names of the rules that are switched off. The service writes what it made
of a set to ``status.<consumer>``.

A watcher of the client stays deaf after a server was restarted, so the revision is asked for instead: one
small request each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import shutil
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig
from nats.js.errors import BucketNotFoundError, KeyNotFoundError
from nats.js.kv import KeyValue

from engine.reload.prepare import Prepared, Refused, prepare
from engine.service.connection import Connection
from engine.service.ending import end
from engine.service.errors import ServiceError
from engine.service.permissions import needed_for_rules
from engine.service.settings import Settings

_T = TypeVar("_T")
_log = logging.getLogger("thenwire.service")
MANIFEST: Final = "manifest"
EXCEPTIONS: Final = "exceptions"
OFF: Final = "off"
MOST_FILES: Final = 1_000
MOST_BYTES: Final = 64 << 20
SETS_KEPT: Final = 12
"""Sets on this machine's disk: old versions that drain may read their lists again after a restart."""
_TIMEOUT_SECONDS: Final = 5.0
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class ManifestFile(msgspec.Struct, frozen=True):
    """One file of a set: its path below the set's folder, with ``/``."""

    name: str
    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    """A set. ``params``: PARAM values, as ``--set`` gives them."""

    files: tuple[ManifestFile, ...]
    params: dict[str, str | int | float | bool] = {}
    format: int = 1


def check_manifest(raw: bytes) -> Manifest:
    """A manifest from outside. Raises ``ValueError`` with a few words."""
    try:
        found = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError(f"the manifest is none: {error}") from None
    if found.format != 1:
        raise ValueError(f"the manifest has format {found.format}, and this thenwire reads format 1")
    if len(found.files) > MOST_FILES or sum(max(0, file.size) for file in found.files) > MOST_BYTES:
        raise ValueError(f"the set has more than {MOST_FILES:,} files or {MOST_BYTES >> 20} MiB")
    for file in found.files:
        if not safe_name(file.name) or not _DIGEST.fullmatch(file.sha256) or file.size < 0:
            raise ValueError(f"the manifest names a file in a way that is not allowed: {file.name[:80]!a}")
    if len({file.name for file in found.files}) != len(found.files):
        raise ValueError("the manifest names a file twice")
    return found


def safe_name(name: str) -> bool:
    """Whether a path stays below its folder on every system: plain parts, none that begins with a dot."""
    return len(name) <= 500 and all(_PART.fullmatch(part) for part in name.split("/"))


class BucketRules:
    """The sets of a bucket as they come; see ``RuleSource``.

    Args:
        bucket: its name.
        folder: where sets are put on this machine; its own.
        overrides: PARAM values that win over those of the manifest.
    """

    def __init__(self, bucket: str, folder: Path, overrides: Mapping[str, str | int | float | bool]) -> None:
        self.settings: Settings | None = None
        self.name = f"bucket {bucket}"
        self._bucket_name = bucket
        self._folder = folder
        self._overrides = overrides
        self._taken = 0
        self._connection: Connection | None = None
        self._bucket: KeyValue | None = None
        self._problem = ""

    async def first(self) -> Prepared | Refused:
        """The set to begin with. Raises `ServiceError` where there is none."""
        try:
            found = await self._read()
        except KeyNotFoundError:
            raise ServiceError(
                f"{_upper(self.name)} has no set of rules: `thenwire rules push` writes one."
            ) from None
        except (NatsError, TimeoutError) as error:
            raise ServiceError(f"The rules in {self.name} cannot be read: {_reason(error)}.") from None
        finally:
            await self.close()
        assert found is not None
        return found

    async def look(self, *, now: bool = False) -> Prepared | Refused | None:
        """The set, if it is another one than before."""
        try:
            found = await self._read()
        except KeyNotFoundError:
            self._complain("it has no set any more")
        except ServiceError as error:
            self._complain(str(error))
        except (NatsError, TimeoutError) as error:
            self._complain(_reason(error))
        else:
            if self._problem:
                _log.warning("the rules in %s can be read again", self.name)
                self._problem = ""
            return found
        return None

    async def text(self, key: str) -> tuple[bytes, int] | None:
        """What stands under a key, and its revision."""
        try:
            entry = await self._get(await self._kv(), key)
        except (KeyNotFoundError, NatsError, TimeoutError, ServiceError):
            return None
        return entry.value or b"", int(entry.revision or 0)

    async def write_status(self, consumer: str, status: Mapping[str, Any]) -> None:
        """Say what became of the set. What cannot be written is only logged: it changes nothing."""
        assert self.settings is not None
        # Of its own: a refusal ends a connection, and this one must not end the reading.
        connection = Connection(self.settings)
        connection.permissions = needed_for_rules(self.settings, self._bucket_name)
        try:
            await connection.open()
            bucket = await _bucket_of(connection, self._bucket_name)
            await _asked(connection, bucket.put(f"status.{consumer}", msgspec.json.encode(status)))
        except (NatsError, TimeoutError, ServiceError) as error:
            _log.warning("the status cannot be written to %s: %s", self.name, _reason(error))
        finally:
            await connection.close()

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection, self._bucket = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(NatsError, ServiceError):
                await connection.close()

    async def _read(self) -> Prepared | Refused | None:
        bucket = await self._kv()
        entry = await self._get(bucket, MANIFEST)
        revision = int(entry.revision or 0)
        if revision == self._taken:
            return None
        raw = entry.value or b""
        try:
            manifest = check_manifest(raw)
            folder = await self._fetch(bucket, manifest, hashlib.sha256(raw).hexdigest()[:16])
        except ValueError as error:
            self._taken = revision
            return Refused("", str(error), ())
        self._taken = revision
        return await asyncio.to_thread(prepare, [folder], {**manifest.params, **self._overrides})

    async def _fetch(self, bucket: KeyValue, manifest: Manifest, name: str) -> Path:
        """The files of a set on this machine's disk."""
        folder = self._folder / name
        contents: dict[str, bytes] = {}
        for file in manifest.files:
            try:
                value = (await self._get(bucket, f"files.{file.sha256}")).value or b""
            except KeyNotFoundError:
                raise ValueError(f"the file {file.name} of the manifest is not in the bucket") from None
            if hashlib.sha256(value).hexdigest() != file.sha256:
                raise ValueError(f"the file {file.name} is not what the manifest says")
            contents[file.name] = value
        await asyncio.to_thread(_write, folder, contents, self._folder)
        return folder

    async def _kv(self) -> KeyValue:
        if self._bucket is not None and self._connection is not None and not self._connection.failed.done():
            return self._bucket
        await self.close()
        assert self.settings is not None
        connection = Connection(self.settings)
        connection.permissions = needed_for_rules(self.settings, self._bucket_name)
        try:
            await connection.open()
            self._bucket = await _bucket_of(connection, self._bucket_name)
        except BucketNotFoundError:
            await connection.close()
            raise ServiceError(f"There is no key-value bucket {self._bucket_name} with rules.") from None
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return self._bucket

    async def _get(self, bucket: KeyValue, key: str) -> KeyValue.Entry:
        assert self._connection is not None
        return await _asked(self._connection, bucket.get(key))

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            _log.error("the rules in %s cannot be read: %s; those in force go on", self.name, problem)


class BucketText:
    """One key of a bucket as a text that may change; see ``TextSource``. One that is gone changes nothing."""

    def __init__(self, rules: BucketRules, key: str) -> None:
        self._rules = rules
        self._key = key
        self._seen = 0

    async def look(self) -> tuple[str | None, str | None]:
        """Its text if it is new."""
        found = await self._rules.text(self._key)
        if found is None or found[1] == self._seen:
            return None, None
        self._seen = found[1]
        try:
            return found[0].decode(), None
        except UnicodeDecodeError:
            return None, "not UTF-8 text"


class Pushed(msgspec.Struct, frozen=True):
    """What was pushed: the revision of the manifest, and how many files and bytes were new."""

    revision: int
    files: int
    new_files: int
    new_bytes: int


async def push(
    settings: Settings,
    bucket: str,
    files: Mapping[str, bytes],
    params: Mapping[str, str | int | float | bool],
) -> Pushed:
    """Write a set to a bucket, which is created if need be and ``manage_streams`` is on.

    Raises:
        ServiceError: one sentence.
    """
    connection = Connection(settings)
    connection.permissions = needed_for_rules(settings, bucket, write=True)
    try:
        await connection.open()
        jetstream = connection.jetstream(_TIMEOUT_SECONDS)
        try:
            kv = await _bucket_of(connection, bucket)
        except BucketNotFoundError:
            if not settings.manage_streams:
                raise ServiceError(f"There is no key-value bucket {bucket}.") from None
            wanted = KeyValueConfig(bucket=bucket, description="thenwire: rules", history=16)
            kv = await _asked(connection, jetstream.create_key_value(wanted))
        most = connection.client.max_payload - 1024
        manifest = []
        new_files = new_bytes = 0
        for name, content in sorted(files.items()):
            if len(content) > most:
                raise ServiceError(f"The file {name} has {len(content):,} bytes; this server takes {most:,}.")
            digest = hashlib.sha256(content).hexdigest()
            manifest.append(ManifestFile(name, digest, len(content)))
            try:
                await _asked(connection, kv.get(f"files.{digest}"))
            except KeyNotFoundError:
                await _asked(connection, kv.put(f"files.{digest}", content))
                new_files, new_bytes = new_files + 1, new_bytes + len(content)
        # Last: what it names is there.
        named = msgspec.json.encode(Manifest(tuple(manifest), dict(params)))
        revision = await _asked(connection, kv.put(MANIFEST, named))
        return Pushed(int(revision), len(manifest), new_files, new_bytes)
    except (NatsError, TimeoutError) as error:
        raise ServiceError(f"The rules cannot be pushed to bucket {bucket}: {_reason(error)}.") from None
    finally:
        await connection.close()


async def put_text(settings: Settings, bucket: str, key: str, text: bytes) -> int:
    """Write one key of a bucket of rules; its revision. Raises `ServiceError`."""
    connection = Connection(settings)
    connection.permissions = needed_for_rules(settings, bucket, write=True)
    try:
        await connection.open()
        kv = await _bucket_of(connection, bucket)
        return int(await _asked(connection, kv.put(key, text)))
    except (NatsError, TimeoutError) as error:
        raise ServiceError(f"Bucket {bucket} cannot be written: {_reason(error)}.") from None
    finally:
        await connection.close()


async def get_text(settings: Settings, bucket: str, key: str) -> bytes | None:
    """One key of a bucket of rules; None if there is none. Raises `ServiceError`."""
    connection = Connection(settings)
    connection.permissions = needed_for_rules(settings, bucket, write=True)
    try:
        await connection.open()
        kv = await _bucket_of(connection, bucket)
        return (await _asked(connection, kv.get(key))).value or b""
    except KeyNotFoundError:
        return None
    except (NatsError, TimeoutError) as error:
        raise ServiceError(f"Bucket {bucket} cannot be read: {_reason(error)}.") from None
    finally:
        await connection.close()


async def _bucket_of(connection: Connection, name: str) -> KeyValue:
    return await _asked(connection, connection.jetstream(_TIMEOUT_SECONDS).key_value(name))


async def _asked(connection: Connection, request: Coroutine[Any, Any, _T]) -> _T:
    """What a request gives. Raises the `ServiceError` with which the connection failed meanwhile: a missing
    permission is said by the server beside the request, which itself gets no answer.
    """
    task = asyncio.ensure_future(request)
    waiting: list[asyncio.Future[Any]] = [task, connection.failed]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            connection.check()
        return await task
    except (NatsError, TimeoutError):
        connection.check()
        raise
    finally:
        await end(task)


def _write(folder: Path, contents: Mapping[str, bytes], among: Path) -> None:
    """Write a set, whole or not at all, and remove old ones."""
    if not folder.exists():
        half = folder.with_name(folder.name + ".half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True, mode=0o700)
        for name, content in contents.items():
            path = half / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        half.rename(folder)
    sets = sorted((p for p in among.iterdir() if p != folder), key=lambda path: path.stat().st_mtime)
    for old in sets[: -(SETS_KEPT - 1)]:
        shutil.rmtree(old, ignore_errors=True)


def _reason(error: BaseException) -> str:
    text = str(error).removeprefix("nats: ").rstrip(".")
    return text or "no answer"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
