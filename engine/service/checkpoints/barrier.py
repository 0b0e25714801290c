"""Makes checkpoints: cut, pack, wait for what was caused, store. Only then may the input be acknowledged.

The cut is taken between two messages. Packing goes in slices with the event loop in between, so that it is
never held long. Alerts leave as soon as they are made; the barrier only waits until those before the cut are
stored. A checkpoint that cannot be stored is tried again until it can, and meanwhile nothing is acknowledged:
the server stops delivering at ``max_ack_pending``, so what a restart has to read again stays bounded.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import Final

from engine import __version__
from engine.service.checkpoints.model import (
    Checkpoint,
    Cutting,
    Mark,
    Noting,
    Stateful,
    StateStore,
    StoreUnavailableError,
)
from engine.service.errors import ServiceError
from engine.service.publisher import Publisher

_log = logging.getLogger("thenwire.service")
SLICE_SECONDS: Final = 0.003
"""How long one slice of the packing works."""
_PARTS_AT_ONCE: Final = 8
"""Parts that are packed before it is asked how long that took: some take a microsecond, some a hundred."""
_LET_GO_AT_ONCE: Final = 2_000
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)
_COMPLAIN_EVERY_SECONDS: Final = 10.0


class Barrier:
    """The checkpoints of one run. The figures are for people and metrics."""

    def __init__(
        self,
        store: StateStore,
        processor: Stateful,
        publisher: Publisher,
        *,
        stream: str,
    ) -> None:
        self.stored = 0
        """Stream sequence up to which the state is stored."""
        self.final = False
        """Whether that is the last one of an orderly stop."""
        self.committed = 0
        """Checkpoints that this run has stored."""
        self.committed_at: float | None = None
        """When the last one was, or the one that the run began from: epoch seconds."""
        self.bytes = 0
        """Of the last one."""
        self.parts = 0
        """That were in the last one; a device has two (``engine.state.parts``)."""
        self.seconds = 0.0
        """From the cut of the last one to its end."""
        self.longest_hold = 0.0
        """The longest that a cut or a slice has held the event loop, in seconds."""
        self.failures = 0
        """Attempts to store that failed."""
        self.problem: str | None = None
        """Why nothing can be stored just now, as a sentence."""
        self._store = store
        self._processor = processor
        self._publisher = publisher
        self._stream = stream
        self._created = ""
        self._generation = 0
        self._writer = secrets.token_hex(8)
        self._complain_at = 0.0

    def begin(self, mark: Mark | None, stream_created: str) -> None:
        """Go on after the checkpoint ``mark``, or from none."""
        self._created = stream_created
        if mark is None:
            if isinstance(self._processor, Noting):
                self._processor.note_changes()
        else:
            self._generation = mark.generation
            self.stored = mark.sequence
            self.committed_at = mark.written_ms / 1000

    async def store(self, position: int, received_ms: int, *, final: bool = False) -> None:
        """Store the state as it is now, after the message ``position``; returns when it is stored.

        Not to be called again before that. If it is interrupted, this run can store no more. Raises
        `ServiceError` when the state can never be stored.
        """
        began = time.monotonic()
        # Nothing may be awaited before the cut: the caller's position is that of this moment.
        cut = self._cut()
        mark = self._mark(position, received_ms, final=final)
        last_caused = self._publisher.last_number
        devices, size = await self._pack(cut)
        await self._publisher.settled(last_caused)
        await self._write(Checkpoint(mark, cut.shared, devices))
        self.stored = position
        self.final = final
        self.seconds = time.monotonic() - began
        self.parts = len(devices)
        self.bytes = len(cut.shared) + size
        _log.debug(
            "checkpoint at %d: %d parts, %d bytes, %.0f ms",
            *(position, self.parts, self.bytes, self.seconds * 1000),
        )
        await self._let_go(devices)

    def _cut(self) -> Cutting:
        began = time.perf_counter()
        try:
            cut = self._processor.cut()
        except Exception as error:
            # The store still has the checkpoint before, which is whole.
            _log.exception("the state cannot be taken")
            raise ServiceError(f"The state cannot be taken: {type(error).__name__}: {error}.") from None
        self._held(time.perf_counter() - began)
        return cut

    def _mark(self, position: int, received_ms: int, *, final: bool) -> Mark:
        return Mark(
            generation=self._generation + 1,
            writer=self._writer,
            stream=self._stream,
            stream_created=self._created,
            sequence=position,
            received_ms=received_ms,
            written_ms=round(time.time() * 1000),
            final=final,
            rules=self._processor.state_digest(),
            rule_names=tuple(self._processor.rule_names),
            lists=self._processor.list_digests(),
            notes=self._processor.notes(),
            version=__version__,
        )

    async def _pack(self, cut: Cutting) -> tuple[dict[str, bytes | None], int]:
        """The state of each device, and the bytes of all."""
        devices: dict[str, bytes | None] = {}
        size = 0
        more = True
        while more:
            # Others first: the cut itself has just held the loop.
            await asyncio.sleep(0)
            began = time.perf_counter()
            try:
                rows, more = self._slice(cut)
            except Exception as error:
                _log.exception("the state cannot be packed")
                raise ServiceError(f"The state cannot be packed: {type(error).__name__}: {error}.") from None
            devices.update(rows)
            size += sum(len(name) + len(state or b"") for name, state in rows)
            self._held(time.perf_counter() - began)
        return devices, size

    def _slice(self, cut: Cutting) -> tuple[list[tuple[str, bytes | None]], bool]:
        """Some more parts, and whether there may be others."""
        # By the time of this thread: a busy machine makes a slice long by the clock, and to do less in one
        # would not help.
        until = time.thread_time() + SLICE_SECONDS
        found: list[tuple[str, bytes | None]] = []
        while rows := cut.pack(_PARTS_AT_ONCE):
            found += rows
            if time.thread_time() >= until:
                return found, True
        return found, False

    async def _let_go(self, devices: dict[str, bytes | None]) -> None:
        """Give the memory back, in slices as well: a hundred thousand objects take their time."""
        while devices:
            for _ in range(min(_LET_GO_AT_ONCE, len(devices))):
                devices.popitem()
            await asyncio.sleep(0)

    async def _write(self, checkpoint: Checkpoint) -> None:
        attempt = 0
        while True:
            try:
                await self._store.commit(checkpoint)
                break
            except StoreUnavailableError as error:
                self.failures += 1
                self._complain(str(error))
            await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
            attempt += 1
        if self.problem is not None:
            _log.warning("the state can be stored again in %s", self._store.name)
            self.problem = None
            self._complain_at = 0.0
        self._generation += 1
        self.committed += 1
        self.committed_at = time.time()

    def _complain(self, reason: str) -> None:
        self.problem = (
            f"The state cannot be stored in {self._store.name}: {reason}. Nothing is acknowledged until it "
            "can be; trying again."
        )
        now = time.monotonic()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_EVERY_SECONDS
            _log.error("%s", self.problem)

    def _held(self, seconds: float) -> None:
        self.longest_hold = max(self.longest_hold, seconds)
