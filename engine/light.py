"""Structs of only what decides whether an event fits anything: most events fit nothing.

Decoding costs by the field, so events are decoded twice: lightly, to ask the rules, and in full if one of
them wants it. A kind of which every event fits something, and one whose addresses or times have to be
brought into one form before they can be asked about, are decoded in full at once.

What the light struct does not hold is not looked at. An event that fits nothing is not refused for a field
that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Union, get_type_hints

import msgspec

from dsl import expressions as e
from dsl.model import Baseline, EventType
from engine.baselines.declared import Baselines
from engine.events import MAX_TIME_MS, Event, EventDecoder, attribute
from engine.plan import Role

_MOMENT = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
_TWO_FORMS = (e.IP, e.TIMESTAMP)


class LightDecoder(msgspec.Struct, frozen=True):
    """What decodes lightly.

    Attributes:
        decode: gives an event of one of these types, or of one that no rule reads. What it refuses may
            still be an event: times as text, for one; ``EventDecoder.decode`` has the last word.
        light: by kind, the type of what is not decoded in full.
        full: by kind, the type of what is.
    """

    decode: Callable[[bytes], Any]
    light: dict[str, type]
    full: dict[str, type[Event]]


def light_decoder(
    decoder: EventDecoder,
    events: Mapping[str, EventType],
    roles: Mapping[str, tuple[Role, ...]],
    baselines: Baselines,
    full_kinds: Collection[str],
) -> LightDecoder:
    """The light decoder for what rules and baselines ask.

    Args:
        decoder: decodes in full.
        events: the declared kinds.
        roles: what rules ask of each.
        baselines: what is learned of each.
        full_kinds: kinds that are decoded in full in any case. Those whose clock deadlines wait for must be:
            an event moves the clock before it is asked anything, and what that lets go would be lost if
            the event turned out to be bad.
    """
    light: dict[str, type] = {}
    full: dict[str, type[Event]] = {}
    members: list[Any] = []
    for kind, event in events.items():
        struct = decoder.types.get(kind)
        if struct is None:
            members.append(decoder.idle[kind])
            continue
        fed = [baselines.declared[name] for _, names in baselines.groups(kind) for name in names]
        asked = _asked(event, roles.get(kind, ()), fed)
        if asked is None or kind in full_kinds:
            full[kind] = struct
            members.append(struct)
        else:
            light[kind] = _light(kind, struct, asked)
            members.append(light[kind])
    union: Any = Union[tuple(members)] if members else _Nothing  # noqa: UP007 - built at run time
    return LightDecoder(msgspec.json.Decoder(union).decode, light, full)


class _Nothing(msgspec.Struct, tag_field="kind", tag=""):
    """A union of no kinds still has to refuse."""


def _asked(event: EventType, roles: tuple[Role, ...], fed: list[Baseline]) -> frozenset[str] | None:
    """The fields that are asked of every event of a kind; None where it is to be decoded in full."""
    if any(isinstance(role.local, e.Always) for role in roles):
        return None
    names: set[str] = set()
    parts: list[Any] = [role.local for role in roles]
    for baseline in fed:
        parts += [*baseline.values, baseline.condition]
        names.update((*baseline.by, *(baseline.peer or ())))
        names.update(("quality", "start"))
    for part in parts:
        names.update(node.name for node in e.walk(part) if isinstance(node, e.Field) and node.step is None)
    if "seen" in names or "kind" in names:
        return None
    if any(event.fields[name].type.name in _TWO_FORMS for name in names if name in event.fields):
        return None
    return frozenset(names)


def _light(kind: str, struct: type[Event], names: frozenset[str]) -> type:
    hints = get_type_hints(struct, include_extras=True)
    wires = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    optional = dict(
        zip(
            struct.__struct_fields__[len(struct.__struct_fields__) - len(struct.__struct_defaults__) :],
            struct.__struct_defaults__,
            strict=True,
        )
    )
    fields: list[Any] = [("device", hints["device"]), ("time", _MOMENT)]
    renamed: dict[str, str] = {}
    for name in sorted(names - {"device", "time"}):
        place = attribute(name)
        if place not in hints:
            continue
        renamed[place] = wires[place]
        if name == "start":
            fields.append((place, _MOMENT | None, None))
        elif optional.get(place, msgspec.NODEFAULT) is None:
            fields.append((place, hints[place], None))
        else:
            fields.append((place, hints[place]))
    return msgspec.defstruct(
        f"light {kind}", fields, tag_field="kind", tag=kind, rename=renamed, kw_only=True, gc=False
    )
