"""The form of a state in a key-value bucket: which segments there are, and when two become one.

A checkpoint adds one segment, the devices that have changed. A restart reads all segments in order, and the
later one wins. Segments are merged as in a binary counter, so a device is written again about as often as the
logarithm of the number of checkpoints, and there are no more segments than that.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from engine.service.checkpoints.model import Mark

Devices = dict[str, bytes | None]
_MERGE_RATIO: Final = 2


class Slot(msgspec.Struct, frozen=True):
    """Bytes that are stored under the keys ``<writer>.<number>.<chunk>``."""

    writer: str
    number: int
    chunks: int
    size: int
    digest: str


class Manifest(msgspec.Struct, frozen=True):
    """What makes a checkpoint in a bucket: it is written last, so nothing else is ever read."""

    mark: Mark
    shared: Slot
    segments: tuple[Slot, ...]

    def slots(self) -> tuple[Slot, ...]:
        """Everything that it names."""
        return (self.shared, *self.segments)


def digest(data: bytes) -> str:
    """To know whether what is read is what was written."""
    return blake2b(data, digest_size=16).hexdigest()


def packed(devices: Devices) -> bytes:
    """A segment."""
    pairs = [(_raw(device), state) for device, state in devices.items()]
    return msgspec.msgpack.encode(pairs)


def unpacked(data: bytes) -> Devices:
    """The devices of a segment. Raises ``msgspec.MsgspecError`` for anything else."""
    pairs = msgspec.msgpack.decode(data, type=list[tuple[bytes, bytes | None]])
    return {device.decode("utf-8", "surrogatepass"): state for device, state in pairs}


def merged(older: Devices, newer: Devices, *, first: bool) -> Devices:
    """Two segments as one. In the ``first`` of all, a forgotten device need not be remembered."""
    both = older | newer
    return {device: state for device, state in both.items() if state is not None} if first else both


def must_merge(segments: tuple[Slot, ...], size: int) -> bool:
    """Whether a new segment of so many bytes and the last one become one."""
    return bool(segments) and segments[-1].size < _MERGE_RATIO * size


def _raw(device: str) -> bytes:
    # JSON can carry half a surrogate pair, which MessagePack's text cannot.
    return device.encode("utf-8", "surrogatepass")
