"""The key of an event for a rule: the values of its BY fields without ``device``."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

from dsl import model as m
from engine.events import Event, attribute

KeyOf: TypeAlias = Callable[[Event], "tuple[object, ...] | None"]
"""Gives the key of an event; None where it lacks a field that its type declares: it is unused then
(LANGUAGE.md section 4 item 2). A field that its type does not declare is None in the key."""
_OF_EVERY_TYPE = ("source", "quality", "attribution", "id")


def key_of(event: m.EventType, fields: tuple[str, ...]) -> KeyOf:
    """The function for events of a type and the key fields of a rule."""
    return _reader(
        tuple(attribute(name) if name in event.fields or name in _OF_EVERY_TYPE else None for name in fields)
    )


def may_lack_key(event: m.EventType, fields: tuple[str, ...]) -> bool:
    """Whether an event of a type can lack a key field that the type declares."""
    return any(
        name in _OF_EVERY_TYPE or (name in event.fields and event.fields[name].optional) for name in fields
    )


@lru_cache(maxsize=1_024)
def _reader(attributes: tuple[str | None, ...]) -> KeyOf:
    declared = [name for name in attributes if name is not None]
    if not declared:
        empty = (None,) * len(attributes)
        return lambda event: empty
    if len(attributes) == 1:
        one = attrgetter(declared[0])

        def single(event: Event) -> tuple[object, ...] | None:
            value = one(event)
            return None if value is None else (value,)

        return single
    if len(declared) == len(attributes):
        several: Any = attrgetter(*declared)

        def whole(event: Event) -> tuple[object, ...] | None:
            values: tuple[object, ...] = several(event)
            return None if None in values else values

        return whole

    def mixed(event: Event) -> tuple[object, ...] | None:
        values: list[object] = []
        for name in attributes:
            value = None if name is None else getattr(event, name)
            if name is not None and value is None:
                return None
            values.append(value)
        return tuple(values)

    return mixed
