"""A checkpoint, and what a store of checkpoints must do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, runtime_checkable

import msgspec

from engine.service.connection import Connection
from engine.service.errors import ServiceError

FORMAT: Final = 1
"""Of what a store holds. It grows with any change to it; the engine's state has a version of its own."""


class DamagedStateError(ServiceError):
    """What is in the store is no state of thenwire, or not the one that was written."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The state in {name} is damaged, or it is no state of thenwire.")


class StoreUnavailableError(Exception):
    """The store cannot be written just now: a full disk, a lock, no answer. The text is a reason, no
    sentence.

    Nothing of the checkpoint is in the store, or all of it; the same checkpoint may be tried again.
    """


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the input a checkpoint stands, and what its state depends on."""

    format: int = FORMAT
    generation: int
    """Counts the checkpoints of a store from 1. Who would write another than the next has been replaced."""
    writer: str = ""
    """Drawn anew by each process, so that two processes never write the same mark."""
    stream: str
    stream_created: str
    """When the stream was created, as the server says it: a stream made anew has other sequences."""
    sequence: int
    """Of the last message that is in the state; 0 before the first."""
    received_ms: int
    """The clock of the input there: when that message was stored, epoch milliseconds."""
    written_ms: int
    """When the checkpoint was written by this machine's clock, epoch milliseconds. Only for messages."""
    final: bool = False
    """The service stopped in order after it: nothing has been published since."""
    rules: str
    """What the state depends on: ``engine.state.digest``."""
    rule_names: tuple[str, ...] = ()
    lists: dict[str, str] = {}
    """A digest of the entries in force of each LIST."""
    notes: dict[str, str] = {}
    """Further facts that a restart needs, by name; see ``Stateful.notes``."""
    version: str = ""
    """Of thenwire."""


class Checkpoint(msgspec.Struct, frozen=True):
    """What is written at once. ``devices`` are the parts that have changed (``engine.state.parts``), by keys
    of which most are names of devices; None removes one.
    """

    mark: Mark
    shared: bytes
    devices: dict[str, bytes | None]


class Saved(msgspec.Struct, frozen=True):
    """The last checkpoint of a store, whole."""

    mark: Mark
    shared: bytes
    devices: list[tuple[str, bytes]]


class StateStore(Protocol):
    """Keeps the last checkpoint. One process writes; a second one that writes replaces the first."""

    @property
    def name(self) -> str:
        """For sentences: ``the file /var/lib/thenwire/x.state``."""
        ...

    async def open(self, connection: Connection | None) -> None:
        """Make it ready to be written.

        Raises:
            ServiceError: it cannot be used; one sentence.
            StoreUnavailableError: not just now.
        """
        ...

    async def load(self) -> Saved | None:
        """The last checkpoint; None if there is none. Raises as `open`."""
        ...

    async def commit(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint: all of it or nothing. After a failure only the same may be given again. Once it
        is written, its devices belong to who gave it, and go.

        Raises:
            StoreUnavailableError: it is not written, and may be tried again.
            ServiceError: another process has written meanwhile, or the store is damaged or gone.
        """
        ...

    async def reset(self) -> None:
        """Forget everything. Raises as `open`."""
        ...

    async def close(self) -> None:
        """Let go of it. Never raises."""
        ...


class Cutting(Protocol):
    """The state at one moment, given in parts; ``engine.state.parts.Cut``."""

    @property
    def shared(self) -> bytes:
        """What belongs to no device."""
        ...

    def pack(self, most: int) -> list[tuple[str, bytes | None]]:
        """About so many more of the changed parts; None for a forgotten one. Empty: all are packed."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """A processor whose state can be stored."""

    @property
    def rule_names(self) -> tuple[str, ...]:
        """Names of the rules that run."""
        ...

    def state_digest(self) -> str:
        """What the state depends on."""
        ...

    def list_digests(self) -> dict[str, str]:
        """A digest of the entries in force of each LIST."""
        ...

    def notes(self) -> dict[str, str]:
        """Further facts for the mark, such as when the rules were changed."""
        ...

    def cut(self) -> Cutting:
        """The state now. At most one may be open at a time."""
        ...

    def restore(self, shared: bytes, devices: Iterable[tuple[str, bytes]]) -> None:
        """Go on from a state, with the entries of LISTs that are in it.

        Raises:
            engine.state.OtherState: it is of other rules or another version, or damaged. The processor is
                of no use then.
        """
        ...

    def renew_lists(self) -> list[str]:
        """Give LISTs the entries that this process has loaded instead of the restored ones; whose differ."""
        ...


@runtime_checkable
class Noting(Protocol):
    """A processor whose first cut is quicker when it knows beforehand that there will be one."""

    def note_changes(self) -> None:
        """It has seen nothing yet, and there will be cuts."""
        ...


def check_format(mark: Mark, name: str) -> None:
    """Refuse what another version of thenwire has written in another form."""
    if mark.format != FORMAT:
        raise ServiceError(
            f"The state in {name} has format {mark.format}, and this thenwire reads format {FORMAT}: use the "
            f"version that wrote it ({mark.version or 'unknown'}), or begin anew with --fresh."
        )
