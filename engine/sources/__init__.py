"""Telemetry formats -> canonical events.

`read` takes a stream of any format known here. A format's module has `parse`, a pure function from the bytes
of one line or document to a list of events, for who gets them one at a time.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from engine.sources import app_privacy, ips, ndjson, powerlog, zeek
from engine.sources.detect import detect
from engine.sources.lines import MAX_NAME_CHARACTERS, Input
from engine.sources.ndjson import raw_lines
from engine.sources.records import REASONS, Record, Refusal, Refused, shown

__all__ = ["REASONS", "SOURCES", "Record", "Refusal", "Refused", "raw_lines", "read"]

Reader = Callable[[Input, str, str | None], Iterator[Record | Refusal]]

SOURCES: dict[str, Reader] = {
    ndjson.SOURCE: ndjson.read,
    zeek.SOURCE: zeek.read,
    ips.SOURCE: ips.read,
    app_privacy.SOURCE: app_privacy.read,
    powerlog.SOURCE: powerlog.read,
}
"""Every source by its name, which is also what its events carry as `source`."""


def read(
    stream: BinaryIO, name: str, source: str | None = None, device: str | None = None
) -> Iterator[Record | Refusal]:
    """The events of `stream` in its order, and a Refusal in place of everything that gave none.

    `name` is the file name used in origins. `source` is one of SOURCES; None finds it by content. `device` is
    the device of all events of a source that does not know it by itself (docs/reference/sources.md says
    which). No content of the stream raises; memory is bounded whatever its length.
    Raises ValueError, at once, when there is no such source.
    """
    if source is not None and source not in SOURCES:
        raise ValueError(f"There is no source '{shown(source)}'; the sources are {', '.join(SOURCES)}.")
    return _read(Input(stream), name, source, device)


def _read(
    source: Input, name: str, format_name: str | None, device: str | None
) -> Iterator[Record | Refusal]:
    if format_name is None:
        try:
            format_name = detect(source)
        except Refused as refused:
            yield refused.at(shown(name, MAX_NAME_CHARACTERS))
            return
    yield from SOURCES[format_name](source, name, device)
