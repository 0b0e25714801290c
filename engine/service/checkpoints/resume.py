"""Goes on from the last checkpoint, or says in a sentence why that would be wrong."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec
from nats.js.api import StreamInfo

from engine.service.checkpoints.model import Mark, Saved, Stateful, StateStore, StoreUnavailableError
from engine.service.connection import Connection
from engine.service.errors import ServiceError
from engine.service.settings import Settings
from engine.state import OtherState
from engine.state.keys import part_of

_log = logging.getLogger("thenwire.service")
_CHECKPOINTS_IN_WINDOW = 2
"""After a crash just before a checkpoint, all since the one before is read again, and that takes its time."""
ANEW = "start once with --fresh to begin with an empty state"


class Resumed(msgspec.Struct, frozen=True):
    """Where to go on. ``after`` is None when only the server knows: the consumer's position."""

    mark: Mark | None
    after: int | None


async def resume(
    store: StateStore,
    processor: Stateful,
    connection: Connection,
    stream: StreamInfo,
    settings: Settings,
    *,
    fresh: bool,
) -> Resumed:
    """Open the store and put the processor where it left off.

    With ``fresh`` the state is thrown away, and only its place in the input is kept.

    Raises:
        ServiceError: the state cannot be read, or does not belong to these rules or this stream.
    """
    if settings.duplicate_window < _CHECKPOINTS_IN_WINDOW * settings.checkpoint_interval:
        _log.error(
            "the duplicate window (%g s) is shorter than two checkpoint intervals (%g s each): alerts that "
            "are published again after a crash can be stored twice",
            *(settings.duplicate_window, settings.checkpoint_interval),
        )
    try:
        await store.open(connection)
        saved = await store.load()
        if saved is None:
            _check_begin(processor)
            _log.warning("there is no state in %s yet: beginning without any", store.name)
            return Resumed(None, None)
        if fresh:
            _check_begin(processor)
            await store.reset()
            _log.warning("the state in %s was thrown away (--fresh)", store.name)
            same = created(stream) == saved.mark.stream_created and settings.input_stream == saved.mark.stream
            # A stream that was put back from a backup may end earlier.
            return Resumed(None, min(saved.mark.sequence, stream.state.last_seq) if same else None)
    except StoreUnavailableError as error:
        raise ServiceError(f"The state in {store.name} cannot be used: {error}.") from None
    check_stream(saved.mark, stream, settings.input_stream, store.name)
    await _restore(saved, processor, store.name)
    _warn_of_window(saved.mark, stream, settings)
    mark = saved.mark
    devices = {part_of(key)[0] for key, _ in saved.devices} - {None}
    _log.info(
        "restored %d devices from %s, at sequence %d of stream %s",
        *(len(devices), store.name, mark.sequence, mark.stream),
    )
    return Resumed(mark, mark.sequence)


def _check_begin(processor: Stateful) -> None:
    """A processor may be able to go on from a state only: its rules are in there."""
    sentence: str | None = getattr(processor, "cannot_begin", None)
    if sentence is not None:
        raise ServiceError(sentence)


def check_stream(mark: Mark, stream: StreamInfo, name: str, place: str) -> None:
    """Whether the sequences of the state mean anything in this stream. Raises `ServiceError`."""
    if mark.stream != name:
        raise ServiceError(
            f"The state in {place} is of stream {mark.stream}, and this service reads {name}: give it a "
            f"state of its own with --state, or {ANEW}."
        )
    if mark.stream_created != created(stream):
        raise ServiceError(
            f"Stream {name} was deleted and created again after the state in {place} was stored: {ANEW} and "
            "the new stream."
        )
    if stream.state.last_seq < mark.sequence:
        raise ServiceError(
            f"Stream {name} ends at {stream.state.last_seq}, but the state in {place} was stored at "
            f"{mark.sequence}: the stream has lost its end or is an older copy; {ANEW}."
        )


async def _restore(saved: Saved, processor: Stateful, place: str) -> None:
    if saved.mark.rules != processor.state_digest() and not getattr(processor, "carries_rules", False):
        gone = sorted(set(saved.mark.rule_names) - set(processor.rule_names))
        new = sorted(set(processor.rule_names) - set(saved.mark.rule_names))
        parts = [f"without {_names(gone)}"] * bool(gone) + [f"with {_names(new)}"] * bool(new)
        what = f" ({', '.join(parts)})" if parts else ""
        raise ServiceError(
            f"The state in {place} is of other rules or PARAMs than these{what}: start with the ones of "
            f"before, or {ANEW}, which forgets what was half matched and learnt."
        )
    try:
        # Beside the loop, so that the connection stays alive meanwhile.
        await asyncio.to_thread(processor.restore, saved.shared, saved.devices)
    except OtherState as error:
        raise ServiceError(f"The state in {place} cannot be used: {error}; {ANEW}.") from None


def _warn_of_window(mark: Mark, stream: StreamInfo, settings: Settings) -> None:
    age = time.time() - mark.written_ms / 1000
    if not mark.final and age > settings.duplicate_window and stream.state.last_seq > mark.sequence:
        _log.error(
            "the last checkpoint is %.0f s old, longer than the duplicate window (%g s): alerts that were "
            "published after it can be stored twice",
            *(age, settings.duplicate_window),
        )


def _names(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def created(stream: StreamInfo) -> str:
    """When a stream was created, as text that is the same each time."""
    return str(stream.created)
