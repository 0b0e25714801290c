"""The keys of the parts of a state, as a store has them.

What rules know of a device stands under its id, so that a store shows it; the other keys begin with a zero
character.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

LEARNED: Final = "\0l"
"""A key that begins so is that of what is learned of the device whose id follows."""
KNOWN: Final = "\0k"
"""What rules know stands under the id of its device; where that begins with a zero character, under this and
the id.
"""
FLEET: Final = "\0f"
"""A key that begins so is that of what is learned of no device. The number of the rows follows, a colon, and
their key as MessagePack, its bytes as the characters of the same numbers.
"""


def known_key(device: str) -> str:
    """The key of what rules know of a device."""
    return device if device[:1] != "\0" else KNOWN + device


def learned_key(device: str) -> str:
    """The key of what is learned of a device."""
    return LEARNED + device


def fleet_key(index: int, key: Any) -> str:
    """The key of what is learned of no device, see ``Baselines.encode_key``."""
    return f"{FLEET}{index}:{msgspec.msgpack.encode(key).decode('latin-1')}"


def part_of(key: str) -> tuple[str | None, bool]:
    """The device of a part's key, None if it is of none, and whether the part is what is learned."""
    if key[:1] != "\0":
        return key, False
    return None if key.startswith(FLEET) else key[len(LEARNED) :], not key.startswith(KNOWN)


def fleet_of(key: str) -> tuple[int, Any]:
    """What :func:`fleet_key` was given."""
    index, _, packed = key[len(FLEET) :].partition(":")
    outer = msgspec.msgpack.decode(packed.encode("latin-1"))
    return int(index), tuple(outer) if isinstance(outer, list) else outer
