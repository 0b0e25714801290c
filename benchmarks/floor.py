"""The decode floor: no engine can be faster than reading the fields that its rules read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union, get_type_hints

import msgspec

from engine.events import Event, EventDecoder

_ENVELOPE = frozenset({*Event.__struct_fields__, "raw_ref"})
"""What the engine reads for every event, whether a rule asks or not."""


def floor_decoder(decoder: EventDecoder) -> Callable[[bytes], Any]:
    """A decoder of the same kinds into structs of only device, time and the fields that rules read.

    Types are kept, limits on lengths and ranges are not; kinds that no rule reads have no fields at all.
    """
    members: list[type[msgspec.Struct]] = []
    for kind in sorted(decoder.kinds):
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        wires: dict[str, str] = {}
        if kind in decoder.types:
            built = decoder.types[kind]
            fields = [("device", str), ("time", int)]
            types = get_type_hints(built)
            wire_names = dict(zip(built.__struct_fields__, built.__struct_encode_fields__, strict=True))
            for field in built.__struct_fields__:
                if field in _ENVELOPE:
                    continue
                type_, wires[field] = types[field], wire_names[field]
                fields.append((field, type_, None) if _optional(type_) else (field, type_))
        name = f"Floor_{kind.replace('.', '_')}"
        members.append(
            msgspec.defstruct(name, fields, tag_field="kind", tag=kind, rename=wires, kw_only=True, gc=False)
        )
    union: Any = Union[tuple(members)]  # noqa: UP007 - built at run time
    return msgspec.json.Decoder(union).decode


def _optional(type_: Any) -> bool:
    return type(None) in getattr(type_, "__args__", ())
