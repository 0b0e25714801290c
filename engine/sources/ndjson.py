"""Canonical events, one JSON object a line.

Mapping: none, the line is the event (its fields: DESIGN "the event"). This source checks only that a line is
a JSON object; whether the kind is declared and the fields have their types is for the engine to say.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from engine.sources.json_text import decode_object
from engine.sources.lines import Input, lines, records
from engine.sources.records import Record, Refusal

SOURCE = "ndjson"

_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def raw_lines(stream: BinaryIO, name: str) -> Iterator[tuple[str, bytes] | Refusal]:
    """The lines as (origin, bytes), not decoded: for the engine, which decodes only the fields rules read.

    Refusals are those of `lines.lines`.
    """
    return lines(Input(stream), name)


def parse(line: bytes) -> list[dict[str, Any]]:
    """The event of one line, in a list as for every source. A null is a missing value and is left out.

    Raises Refused as `json_text.decode_object` does.
    """
    event = decode_object(line, _DECODER)
    if None in event.values():
        event = {name: value for name, value in event.items() if value is not None}
    return [event]


def read(source: Input, name: str, device: str | None) -> Iterator[Record | Refusal]:
    """All lines of a file. `device` is not used: a canonical event names its own device."""
    return records(source, name, parse)
