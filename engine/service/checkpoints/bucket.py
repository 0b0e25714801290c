"""Checkpoints in a JetStream key-value bucket, so that another machine can go on from them.

The parts of a checkpoint are written under keys that nobody reads yet; then the manifest, one key, is updated
on condition that it is still the one we know. So a half-written checkpoint is never read, and of two
processes that write, the one that was there first learns that it was replaced.

Keys: ``<name>.manifest``, and ``<name>.<writer>.<slot>.<chunk>`` for the parts, in pieces below the server's
largest message. ``writer`` is drawn anew by each process, so a process that was replaced cannot write over
the parts of the one that replaced it. Slots are used again, so the number of keys is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Any, Final

import msgspec
from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig
from nats.js.errors import APIError, BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from engine.service.checkpoints.model import (
    Checkpoint,
    DamagedStateError,
    Saved,
    StoreUnavailableError,
    check_format,
)
from engine.service.checkpoints.segments import (
    Devices,
    Manifest,
    Slot,
    digest,
    merged,
    must_merge,
    packed,
    unpacked,
)
from engine.service.connection import Connection
from engine.service.errors import ServiceError

_CHUNK_BYTES: Final = 512 * 1024
_HEADER_BYTES: Final = 1024
_TIMEOUT_SECONDS: Final = 5.0


class BucketStore:
    """One state in a bucket, which may hold several. ``create`` makes a bucket that is missing."""

    def __init__(self, bucket: str, state: str, *, create: bool) -> None:
        self._bucket_name = bucket
        self._state = state
        self._create = create
        self._connection: Connection | None = None
        self._bucket: KeyValue | None = None
        self._writer = secrets.token_hex(8)
        self._manifest: Manifest | None = None
        self._revision = 0

    @property
    def name(self) -> str:
        """See `StateStore`."""
        return f"bucket {self._bucket_name}"

    async def open(self, connection: Connection | None) -> None:
        """See `StateStore`. Needs an open connection."""
        assert connection is not None
        self._connection = connection
        jetstream = connection.jetstream(_TIMEOUT_SECONDS)
        try:
            try:
                self._bucket = await jetstream.key_value(self._bucket_name)
            except BucketNotFoundError:
                if not self._create:
                    raise ServiceError(
                        f"There is no key-value bucket {self._bucket_name} for the state, and manage_streams "
                        "is off: create it with a history of 1."
                    ) from None
                self._bucket = await jetstream.create_key_value(
                    KeyValueConfig(bucket=self._bucket_name, description="thenwire: state", history=1)
                )
            await self._read_manifest()
        except TimeoutError:
            raise ServiceError(
                f"The server did not answer about the bucket {self._bucket_name}: this user may not publish "
                f"to $JS.API.STREAM.INFO.KV_{self._bucket_name}."
            ) from None
        except NatsError as error:
            raise ServiceError(f"The state in {self.name} cannot be used: {_reason(error)}.") from None

    async def load(self) -> Saved | None:
        """See `StateStore`."""
        try:
            await self._read_manifest()
            manifest = self._manifest
            if manifest is None:
                return None
            known: Devices = {}
            for segment in manifest.segments:
                known |= await self._devices(segment)
            shared = await self._read(manifest.shared)
        except (NatsError, TimeoutError) as error:
            raise StoreUnavailableError(_reason(error)) from None
        devices = [(device, state) for device, state in sorted(known.items()) if state is not None]
        return Saved(manifest.mark, shared, devices)

    async def commit(self, checkpoint: Checkpoint) -> None:
        """See `StateStore`."""
        mark = checkpoint.mark
        known, revision = self._manifest, self._revision
        if known is not None and known.mark == mark:
            return
        if (0 if known is None else known.mark.generation) != mark.generation - 1:
            raise self._replaced()
        try:
            try:
                manifest = await self._write_parts(checkpoint)
            except DamagedStateError:
                # Its parts are missing. Whether somebody else replaced them, the manifest tells.
                raise await self._gone(known) from None
            await self._swap(manifest)
            await self._forget_unused(known, manifest)
        except (NatsError, TimeoutError) as error:
            # What was read half of the way is not known.
            self._manifest, self._revision = known, revision
            raise StoreUnavailableError(_reason(error)) from None

    async def reset(self) -> None:
        """See `StateStore`."""
        known = self._manifest
        if known is None:
            return
        try:
            await self._kv.purge(f"{self._state}.manifest")
            for slot in known.slots():
                await self._purge(slot, 0)
        except (NatsError, TimeoutError) as error:
            raise StoreUnavailableError(_reason(error)) from None
        self._manifest = None
        self._revision = 0

    async def close(self) -> None:
        """See `StateStore`. The connection belongs to whoever opened it."""
        self._bucket = None

    @property
    def _kv(self) -> KeyValue:
        assert self._bucket is not None
        return self._bucket

    async def _read_manifest(self) -> None:
        try:
            entry = await self._kv.get(f"{self._state}.manifest")
        except KeyNotFoundError as error:
            # A purged key has a revision, which the next update must name.
            self._manifest, self._revision = None, _revision_of(error)
            return
        try:
            manifest = msgspec.json.decode(entry.value or b"", type=Manifest)
        except msgspec.MsgspecError:
            raise DamagedStateError(self.name) from None
        check_format(manifest.mark, self.name)
        self._manifest, self._revision = manifest, entry.revision or 0

    async def _write_parts(self, checkpoint: Checkpoint) -> Manifest:
        known = self._manifest
        used = {slot.number for slot in known.slots() if slot.writer == self._writer} if known else set()
        segments = known.segments if known else ()
        shared = await self._put(checkpoint.shared, used)
        devices = checkpoint.devices
        if devices:
            data = await asyncio.to_thread(packed, devices)
            while must_merge(segments, len(data)):
                older = await self._devices(segments[-1])
                segments = segments[:-1]
                devices = await asyncio.to_thread(merged, older, devices, first=not segments)
                data = await asyncio.to_thread(packed, devices)
            segments = (*segments, await self._put(data, used))
        return Manifest(checkpoint.mark, shared, segments)

    async def _put(self, data: bytes, used: set[int]) -> Slot:
        number = next(n for n in range(len(used) + 1) if n not in used)
        used.add(number)
        assert self._connection is not None
        most = min(_CHUNK_BYTES, self._connection.client.max_payload - _HEADER_BYTES)
        chunks = max(1, -(-len(data) // most))
        slot = Slot(self._writer, number, chunks, len(data), digest(data))
        for chunk in range(chunks):
            await self._kv.put(self._key(slot, chunk), data[chunk * most : (chunk + 1) * most])
        return slot

    async def _read(self, slot: Slot) -> bytes:
        try:
            parts = [
                (await self._kv.get(self._key(slot, chunk))).value or b"" for chunk in range(slot.chunks)
            ]
        except KeyNotFoundError:
            raise DamagedStateError(self.name) from None
        data = b"".join(parts)
        if digest(data) != slot.digest:
            raise DamagedStateError(self.name)
        return data

    async def _devices(self, slot: Slot) -> Devices:
        data = await self._read(slot)
        try:
            return await asyncio.to_thread(unpacked, data)
        except msgspec.MsgspecError:
            raise DamagedStateError(self.name) from None

    async def _swap(self, manifest: Manifest) -> None:
        key, value = f"{self._state}.manifest", msgspec.json.encode(manifest)
        try:
            self._revision = await self._kv.update(key, value, last=self._revision)
        except KeyWrongLastSequenceError:
            # Ours may have been stored though its acknowledgement was lost.
            before = self._manifest
            await self._read_manifest()
            if self._manifest != manifest:
                raise await self._gone(before) from None
        self._manifest = manifest

    async def _forget_unused(self, before: Manifest | None, now: Manifest) -> None:
        if before is None:
            return
        needed = {(slot.writer, slot.number): slot.chunks for slot in now.slots()}
        # Parts of the manifest before are of no use any more, whoever wrote them; failing here loses only
        # room.
        with contextlib.suppress(NatsError, TimeoutError):
            for slot in before.slots():
                if (slot.writer, slot.number) not in needed:
                    await self._purge(slot, 0)

    async def _purge(self, slot: Slot, first: int) -> None:
        for chunk in range(first, slot.chunks):
            await self._kv.purge(self._key(slot, chunk))

    def _key(self, slot: Slot, chunk: int) -> str:
        return f"{self._state}.{slot.writer}.{slot.number}.{chunk}"

    async def _gone(self, known: Manifest | None) -> ServiceError:
        """Why the bucket does not hold what was ``known``; raises what the server says where there is no
        bucket. While a server deletes one, it still answers for a moment that keys are missing.
        """
        await self._kv.status()
        await self._read_manifest()
        if self._manifest is None and known is not None:
            return ServiceError(
                f"The state in {self.name} was removed while thenwire was running; start it again."
            )
        return self._replaced() if self._manifest != known else DamagedStateError(self.name)

    def _replaced(self) -> ServiceError:
        return ServiceError(
            f"Another thenwire has written to {self.name} meanwhile; give each one a state of its own."
        )


def _revision_of(error: KeyNotFoundError) -> int:
    entry: Any = getattr(error, "entry", None)
    return int(entry.revision or 0) if entry is not None else 0


def _reason(error: BaseException) -> str:
    text = error.description if isinstance(error, APIError) else str(error)
    return (text or "no answer").removeprefix("nats: ").rstrip(".")
