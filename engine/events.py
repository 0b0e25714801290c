"""The wire event: from bytes to a struct of just the fields that the loaded rules read.

One msgspec struct is built for each EVENT type; the JSON object's ``kind`` chooses it, so decoding
is a single pass. Declared fields that no rule reads are not in the struct and cost nothing.
DESIGN.md section 4 has the envelope.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Union, cast

import msgspec

from dsl import expressions as e
from dsl.expressions import Type
from dsl.model import EventType
from engine.sources import fluent_bit
from engine.sources.records import Refused

MAX_TIME_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, the last that RFC 3339 can say."""
MAX_DEVICE_CHARACTERS = 256
MAX_REFERENCE_CHARACTERS = 1_024
"""``raw_ref`` is a pointer to the raw record, never its body."""
MOST_ADDRESSES = 65_536
"""Addresses that are remembered to need no second look."""
POSITION_SHIFT = 20
"""A position is ``stream sequence << 20 | index in the message``: a million events a message."""


class Event(msgspec.Struct, tag_field="kind", kw_only=True, gc=False):
    """The envelope of every decoded event. Times are epoch milliseconds.

    Declared fields follow in subclasses as ``f_<name>``, so that a field may be called ``class``.
    """

    kind: ClassVar[str] = ""
    is_alert: ClassVar[bool] = False
    device: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_DEVICE_CHARACTERS)]
    time: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)] | str
    start: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)] | str | None = None
    id: str | None = None
    source: str | None = None
    quality: Literal["exact", "interval", "first_last"] | None = None
    seen: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)] | str | None = None
    attribution: Literal["app", "device", "ip"] | None = None


class Idle(msgspec.Struct, tag_field="kind", kw_only=True, gc=False):
    """A declared kind that no loaded rule reads: checked for its envelope, then dropped."""

    device: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_DEVICE_CHARACTERS)]
    time: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)] | str


class BadEvent(Exception):
    """An event that cannot be matched.

    ``reason`` is a short stable token fit for a subject: ``malformed_json``, ``wrong_type``,
    ``missing_field``, ``bad_time``, ``bad_ip``, ``nested_too_deep``, ``not_an_object``; and
    ``unknown_kind``, which is not an error of the sender: the rule set does not declare it.
    """

    # A message may hold a hundred thousand of them.
    __slots__ = ("detail", "raw", "reason")

    def __init__(self, reason: str, detail: str, raw: bytes = b"") -> None:
        self.reason = reason
        self.detail = detail
        self.raw = raw

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


REFUSED = (msgspec.MsgspecError, RecursionError, ValueError, MemoryError)
"""What decoding raises for bytes that are no event."""


class _Peek(msgspec.Struct):
    kind: Any = None


_PYTHON: dict[str, Any] = {
    e.STRING: str,
    e.INT: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    e.FLOAT: float,
    e.BOOL: bool,
    e.IP: str,
    e.TIMESTAMP: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)] | str,
    e.DURATION: int,
    e.STRINGS: list[str],
}


def _annotation(type_: Type) -> Any:
    if type_.choices:
        return Literal[type_.choices]
    return _PYTHON[type_.name]


def attribute(name: str) -> str:
    """The attribute of a decoded event that holds a field: declared ones are prefixed."""
    return name if name in _ENVELOPE else f"f_{name}"


_ENVELOPE = frozenset({"device", "time", "start", "id", "source", "quality", "seen", "attribution", "kind"})


_Reference = Annotated[str, msgspec.Meta(max_length=MAX_REFERENCE_CHARACTERS)]


def _struct(event: EventType, read: frozenset[str]) -> type[Event]:
    fields: list[tuple[str, Any, Any] | tuple[str, Any]] = []
    wires: dict[str, str] = {}
    if not any(field.wire == "raw_ref" for field in event.fields.values()):
        # Of the envelope, but no name of the language: an EVENT may use it for a field of its own.
        fields.append(("raw_ref", _Reference | None, None))
    for name in sorted(read):
        if name in event.fields:
            field = event.fields[name]
            annotation = _annotation(field.type)
            wires[attribute(name)] = field.wire
            if field.optional:
                fields.append((attribute(name), annotation | None, None))
            else:
                fields.append((attribute(name), annotation))
    built: Any = msgspec.defstruct(
        event.kind,
        fields,
        bases=(Event,),
        tag_field="kind",
        tag=event.kind,
        rename=wires,
        kw_only=True,
        gc=False,
        namespace={"kind": event.kind},
    )
    return cast("type[Event]", built)


@lru_cache(maxsize=65_536)
def canonical_ip(text: str) -> str | None:
    """An address in its canonical spelling, so that equal addresses are equal strings; None if it is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def epoch_ms(text: str) -> int:
    """An RFC 3339 time in epoch milliseconds, cut (not rounded) to the millisecond.

    Raises:
        ValueError: another form, or no offset: a local time has no meaning across devices.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the time has no offset from UTC")
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    value = delta.days * 86_400_000 + delta.seconds * 1_000 + delta.microseconds // 1_000
    if not 0 <= value <= MAX_TIME_MS:
        raise ValueError("the time is out of range")
    return value


class EventDecoder:
    """Decodes wire events for one rule set.

    Args:
        events: the declared event types by wire kind.
        read: for each kind, the fields that the rules read; kinds that are absent are not read.
    """

    def __init__(self, events: Mapping[str, EventType], read: Mapping[str, frozenset[str]]) -> None:
        self.kinds = frozenset(events)
        self.types: dict[str, type[Event]] = {}
        self.idle: dict[str, type] = {}
        """By kind, the type of events that no rule reads."""
        self._fix_times: dict[type, tuple[str, ...]] = {}
        self._fix_ips: dict[type, tuple[str, ...]] = {}
        members: list[Any] = []
        for kind, event in events.items():
            if kind not in read:
                idle = msgspec.defstruct(kind, [], bases=(Idle,), tag_field="kind", tag=kind, kw_only=True)
                self.idle[kind] = idle
                members.append(idle)
                continue
            built = _struct(event, read[kind])
            members.append(built)
            self.types[kind] = built
            declared = [event.fields[n] for n in sorted(read[kind]) if n in event.fields]
            times = tuple(attribute(f.name) for f in declared if f.type.name == e.TIMESTAMP)
            self._fix_times[built] = (*times, "seen") if "seen" in read[kind] else times
            ips = tuple(attribute(f.name) for f in declared if f.type.name == e.IP)
            if ips:
                self._fix_ips[built] = ips
        self._canonical: set[str] = set()
        """Addresses that are known to be in their canonical spelling."""
        # A union of no kinds still has to refuse with the same words.
        union: Any = Union[tuple(members)] if members else _Peek  # noqa: UP007 - built at run time
        self._union = union
        self._one = msgspec.json.Decoder(union)
        self._many = msgspec.json.Decoder(list[union])
        self._raws = msgspec.json.Decoder(list[msgspec.Raw])
        self._peek = msgspec.json.Decoder(_Peek)
        self.decode: Callable[[bytes], Event | None] = self._one_event()
        """One event; None for a declared kind that no rule reads. Raises BadEvent with reason, detail and the
        bytes.
        """

    def _one_event(self) -> Callable[[bytes], Event | None]:
        """:attr:`decode`, a closure: this is the way of every event."""
        decode_one, finish, bad = self._one.decode, self.finish, self._bad
        # Kinds whose time is all that may need a second look, and only where it is text.
        plain = {kind: not times and kind not in self._fix_ips for kind, times in self._fix_times.items()}

        def decode(raw: bytes) -> Event | None:
            try:
                event = decode_one(raw)
            except REFUSED as error:
                raise bad(error, raw) from None
            of_kind = plain.get(type(event))
            if of_kind is None:
                return None
            if of_kind and type(event.time) is int and event.start is None:
                return event  # type: ignore[no-any-return]  # of one of the types, as the keys of `plain` are
            return finish(event, raw)

        return decode

    def second_look(self, kind: str, names: dict[str, Any]) -> str:
        """Source of a test whether an event ``e`` of a kind may have to go through :meth:`finish`. ``names``:
        globals of the code, to add to.
        """
        struct = self.types[kind]
        if self._fix_times[struct]:
            return "True"
        tests = ["e.time.__class__ is not int", "e.start is not None"]
        if struct in self._fix_ips:
            names["canonical"] = self._canonical
            tests += [f"e.{name} is not None and e.{name} not in canonical" for name in self._fix_ips[struct]]
        return " or ".join(tests)

    def convert(self, wire: Mapping[str, Any]) -> Event | None:
        """One event from a canonical wire object that is already a dict. See :meth:`decode`."""
        try:
            event = msgspec.convert(wire, self._union)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise self._bad(error, _encode(wire)) from None
        return self.finish(event, b"")

    def decode_payload(
        self, payload: bytes, content_type: str | None = None
    ) -> list[Event | BadEvent | None]:
        """All events of a message: one JSON object, a JSON array (also Fluent Bit's), or NDJSON.

        ``content_type`` decides where it is given (``application/json``, ``application/x-ndjson``),
        else the first byte. The list has one entry an event, in order, so that an index names it.
        """
        first = payload[:1] if payload[:1] in (b"{", b"[") else payload.lstrip()[:1]
        if first == b"[":
            try:
                return [self._finish_or_bad(event, payload) for event in self._many.decode(payload)]
            except REFUSED:
                return self._one_by_one(payload)
        if content_type is not None and "ndjson" in content_type:
            return [self._decode_or_bad(line) for line in payload.split(b"\n") if line and not line.isspace()]
        try:
            return [self._finish_or_bad(self._one.decode(payload), payload)]
        except REFUSED as error:
            lines = [line for line in payload.split(b"\n") if line and not line.isspace()]
            if len(lines) > 1 and not (content_type or "").startswith("application/json"):
                return [self._decode_or_bad(line) for line in lines]
            return [self._bad(error, payload)]

    def together(self, payload: bytes, content_type: str | None = None) -> list[Any] | None:
        """All events of a message of several in one go, which costs hardly more than a light decode. There is
        one entry for each, in order; they have not gone through :meth:`finish`. None if they cannot be had
        so, because one is bad or a line is blank, and for any other message.
        """
        try:
            if payload[:1] == b"[":
                return self._many.decode(payload)
            if content_type is not None and content_type.startswith("application/json"):
                return None
            found = self._one.decode_lines(payload)
        except REFUSED:
            return None
        # One event may have several lines, or stand in one with others.
        is_line_each = len(found) == payload.count(b"\n") + (not payload.endswith(b"\n"))
        return found if is_line_each else None

    def each(self, payloads: Sequence[bytes]) -> list[Any] | None:
        """Messages of one event each in one go: as :meth:`together`, one entry for each message; None if one
        of them is anything else.
        """
        # With a brace at both ends nothing can begin in one message and end in the next.
        if not all(raw and raw[0] == 0x7B and raw[-1] == 0x7D for raw in payloads):
            return None
        joined = b"\n".join(payloads)
        if joined.count(b"\n") >= len(payloads):
            # Messages of several events have a quick way of their own, and must not be decoded in vain.
            return None
        try:
            found = self._one.decode_lines(joined)
        except REFUSED:
            return None
        return found if len(found) == len(payloads) else None

    def raw_event(self, payload: bytes, content_type: str | None, index: int) -> bytes:
        """The bytes of one event of a message, by its index in what :meth:`decode_payload` gives."""
        parts: list[bytes] = [payload]
        if payload.lstrip()[:1] == b"[":
            parts = [bytes(raw) for raw in self._raws.decode(payload)]
        elif content_type is None or not content_type.startswith("application/json"):
            parts = [line for line in payload.split(b"\n") if line and not line.isspace()]
        return parts[index] if index < len(parts) else payload

    def _one_by_one(self, payload: bytes) -> list[Event | BadEvent | None]:
        try:
            raws: Iterable[msgspec.Raw] = self._raws.decode(payload)
        except REFUSED as error:
            return [self._bad(error, payload)]
        return [self._element(bytes(raw)) for raw in raws]

    def _element(self, raw: bytes) -> Event | BadEvent | None:
        """An element of an array: an event, or Fluent Bit's pair of a time and an event."""
        if not raw.startswith(b"["):
            return self._decode_or_bad(raw)
        try:
            record, time = fluent_bit.unwrap(raw)
        except Refused as refused:
            reason = refused.reason if refused.reason in ("wrong_type", "bad_time") else "malformed_json"
            return BadEvent(reason, refused.detail, raw)
        return self._decode_or_bad(record if time is None else fluent_bit.with_time(record, time))

    def _decode_or_bad(self, raw: bytes) -> Event | BadEvent | None:
        try:
            event = self._one.decode(raw)
        except REFUSED as error:
            return self._bad(error, raw)
        return self._finish_or_bad(event, raw)

    def _finish_or_bad(self, event: Any, raw: bytes) -> Event | BadEvent | None:
        try:
            return self.finish(event, raw)
        except BadEvent as bad:
            # A message may hold a hundred thousand of them, and each would keep its frames alive.
            bad.__traceback__ = bad.__context__ = None
            return bad

    def finish(self, event: Any, raw: bytes) -> Event | None:
        """Times given as text become milliseconds; addresses take one spelling. None for an event that no
        rule reads.

        Raises:
            BadEvent: a time or an address is none.
        """
        kind = type(event)
        if kind not in self._fix_times:
            return None
        if type(event.time) is str:
            event.time = self._time(event.time, raw)
        if type(event.start) is str:
            event.start = self._time(event.start, raw)
        for name in self._fix_times[kind]:
            value = getattr(event, name)
            if type(value) is str:
                setattr(event, name, self._time(value, raw))
        if kind in self._fix_ips:
            for name in self._fix_ips[kind]:
                value = getattr(event, name)
                if value is not None:
                    address = canonical_ip(value)
                    if address is None:
                        shown = _short(value)
                        raise BadEvent("bad_ip", f"`{name.removeprefix('f_')}` is no address: {shown}", raw)
                    if address == value:
                        if len(self._canonical) >= MOST_ADDRESSES:
                            self._canonical.clear()
                        self._canonical.add(value)
                        continue
                    setattr(event, name, address)
        if event.start is not None and event.start > event.time:
            raise BadEvent("bad_time", "`start` is after `time`", raw)
        known: Event = event
        return known

    def _time(self, text: str, raw: bytes) -> int:
        try:
            return epoch_ms(text)
        except (ValueError, OverflowError) as error:
            why = "no offset from UTC" if "offset" in str(error) else "not RFC 3339, or out of range"
            raise BadEvent("bad_time", f"`{_short(text)}` is no time: {why}", raw) from None

    def _bad(self, error: BaseException, raw: bytes) -> BadEvent:
        if isinstance(error, RecursionError):
            return BadEvent("nested_too_deep", "the JSON is nested too deep", raw)
        if isinstance(error, MemoryError):
            return BadEvent("malformed_json", "the JSON is too large", raw)
        text = str(error)
        if isinstance(error, msgspec.ValidationError):
            try:
                kind = self._peek.decode(raw).kind
            except (msgspec.MsgspecError, RecursionError, ValueError):
                return BadEvent("not_an_object", "an event is a JSON object", raw)
            if isinstance(kind, str) and kind not in self.kinds:
                return BadEvent("unknown_kind", f"no EVENT declares the kind {_short(kind)}", raw)
            reason = "missing_field" if "missing required field" in text else "wrong_type"
            return BadEvent(reason, _short(text, 300), raw)
        return BadEvent("malformed_json", _short(text, 300), raw)


def _encode(wire: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(wire)
    except (TypeError, ValueError, RecursionError):
        return b""


def _short(text: str, limit: int = 80) -> str:
    """Untrusted text for a message: printable, shortened."""
    shown = ascii(text)[1:-1] if not text.isprintable() else text
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
