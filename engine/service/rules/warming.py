"""``--warm`` at a reload: the rules that would begin cold are filled with the past, then the set comes into
force.

The rules in force go on meanwhile, and go first: the past is read in small slices, with pauses that grow as
soon as the event loop has other work. When nearly everything is read, the input is held between two messages,
the small rest is read up to just there, and the set comes into force with what its rules know by then. All
that can go wrong before that leaves the rules in force as they are.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from typing import Any, Final

import msgspec

from engine.reload.prepare import Prepared
from engine.reload.report import ReloadReport
from engine.service.changes import Change
from engine.service.errors import ServiceError
from engine.service.pull import MOST_TOGETHER
from engine.service.rules.apart import Apart
from engine.service.rules.past import Past
from engine.service.rules.processor import ReloadingProcessor
from engine.service.settings import Settings

_log = logging.getLogger("thenwire.service")
SLICE_SECONDS: Final = 0.004
"""How long the past is taken in without a pause."""
PAUSE_SECONDS: Final = 0.001
BUSY_SECONDS: Final = 0.002
"""A pause that lasts so much longer than asked for says that the event loop has other work."""
BUSY_PAUSE_SECONDS: Final = 0.03
"""The pause then: the past has about a tenth of the time."""
NEAR: Final = 20
"""Messages that may be left when the input is held, and more if they take no longer than"""
NEAR_SECONDS: Final = 0.05
REST_SECONDS: Final = 5.0
"""How long the input is held for them; if they do not come, it goes on, and that is tried again."""
TRIES: Final = 5
_NEWS_SECONDS: Final = 0.5
_REST_NEWS_SECONDS: Final = 0.05
_SAY_SECONDS: Final = 10.0


class Progress(msgspec.Struct, frozen=True):
    """How far a fill is: messages read, of about so many."""

    hash: str
    rules: tuple[str, ...]
    since_ms: int
    read: int
    of: int

    def __str__(self) -> str:
        return f"{self.read:,} of about {max(self.read, self.of):,} messages are read"


class CannotFillError(Exception):
    """The past cannot be read; the text is a sentence. The rules have to begin cold."""


class _NotYetError(Exception):
    """The rest did not come while the input was held."""


class Warming:
    """One fill, up to the moment at which the set is in force.

    Args:
        processor: of the rules in force.
        prepared: the set that follows.
        settings: of the service.
        warm_ms: how far back, from the last message that was processed when it begins.
        change: puts it in force.
    """

    def __init__(
        self,
        processor: ReloadingProcessor,
        prepared: Prepared,
        settings: Settings,
        warm_ms: int,
        change: Change,
    ) -> None:
        self.prepared = prepared
        self.swapping = False
        """It is coming into force: too late to give it up."""
        self.is_in_force = False
        self._processor = processor
        self._settings = settings
        self._warm_ms = warm_ms
        self._change = change
        self._past: Past | None = None
        self._apart: Apart | None = None
        self._begin = 0
        self._since_ms = 0
        self._total = 0
        self._worked = 0.0

    @property
    def progress(self) -> Progress:
        """How far it is."""
        apart = self._apart
        rules = () if apart is None else tuple(sorted(apart.side.rules))
        read = 0 if apart is None else apart.side.messages
        return Progress(self.prepared.bundle.hash, rules, self._since_ms, read, self._total)

    async def run(self) -> ReloadReport:
        """Fill, and put the set in force.

        Raises:
            CannotFillError: nothing has changed.
        """
        try:
            # Also: what a run before may have read has been read again by then.
            self._begin = await self._change(lambda sequence: sequence)
            if not self._processor.now_ms:
                # Nothing was ever read: there is no past.
                return await self._change(self._put_in_force_cold)
            self._since_ms = max(0, self._processor.now_ms - self._warm_ms)
            self._apart = await asyncio.to_thread(self._processor.beside, self.prepared)
            self._past = Past(self._settings)
            self._total = await self._past.open(self._since_ms)
            _log.info(
                "the rules %s wait: %s filled with about %d messages, stored from %s on; the rules %s go on",
                *(self.prepared.bundle.hash, self._named(), self._total, _shown(self._since_ms)),
                self._processor.in_force.bundle.hash,
            )
            return await self._fill()
        except ServiceError as error:
            raise CannotFillError(str(error)) from None

    async def close(self) -> None:
        """Read no more, whatever came of it."""
        if self._past is not None:
            await self._past.close()
        if self._apart is not None and not self.is_in_force:
            self._processor.let_go(self._apart)

    def _named(self) -> str:
        assert self._apart is not None
        rules, baselines = sorted(self._apart.side.rules), sorted(self._apart.side.baselines)
        if not rules:
            return f"baselines ({', '.join(baselines)}) are"
        shown = ", ".join(name.replace("_", " ") for name in rules[:5]) + (", ..." if len(rules) > 5 else "")
        return f"{len(rules)} rule is ({shown})" if len(rules) == 1 else f"{len(rules)} rules ({shown}) are"

    async def _fill(self) -> ReloadReport:
        assert self._past is not None
        began = time.monotonic()
        say_at = began + _SAY_SECONDS
        tries, behind = 0, 1 << 62
        while True:
            self._slice(max(self._begin, self._processor.sequence))
            await self._pause()
            if await self._is_near():
                try:
                    return await self._change(self._put_in_force)
                except _NotYetError:
                    tries += 1
                    if tries == TRIES:
                        raise CannotFillError(
                            f"Stream {self._settings.input_stream} does not give the last messages again."
                        ) from None
            if time.monotonic() >= say_at:
                say_at += _SAY_SECONDS
                progress = self.progress
                rate = progress.read / (time.monotonic() - began)
                _log.info("filling the rules %s: %s, %.0f a second", progress.hash, progress, rate)
                before, behind = behind, self._behind()
                if behind >= before:
                    _log.warning(
                        "the fill comes no nearer: the rules in force go first, and leave it too little time"
                    )

    def _slice(self, until: int) -> bool:
        """Take in what is there up to a sequence, as far as one slice goes; whether there was any."""
        assert self._past is not None
        assert self._apart is not None
        began = time.monotonic()
        took = False
        while time.monotonic() < began + SLICE_SECONDS:
            batch = self._past.take(until, MOST_TOGETHER)
            if not batch:
                break
            self._note_first(batch[0][1], batch[0][2])
            self._apart.take(batch, self._settings.input_stream)
            took = True
        self._worked += time.monotonic() - began
        return took

    def _behind(self) -> int:
        """How many sequences the past is behind the rules in force."""
        assert self._apart is not None
        return max(self._begin, self._processor.sequence) - self._apart.side.last

    def _note_first(self, sequence: int, stored_ms: int) -> None:
        assert self._past is not None
        assert self._apart is not None
        if not self._apart.side.first and sequence == self._past.first_held and stored_ms > self._since_ms:
            _log.warning(
                "stream %s holds nothing from before %s: the rules are filled with less than was asked for",
                *(self._settings.input_stream, _shown(stored_ms)),
            )

    async def _pause(self) -> None:
        began = time.monotonic()
        await asyncio.sleep(PAUSE_SECONDS)
        if time.monotonic() - began > PAUSE_SECONDS + BUSY_SECONDS:
            await asyncio.sleep(BUSY_PAUSE_SECONDS)

    async def _is_near(self) -> bool:
        """Whether so little is left that the input can be held for it."""
        assert self._past is not None
        assert self._apart is not None
        side, behind = self._apart.side, self._behind()
        if side.last and (behind <= NEAR or behind * self._worked <= NEAR_SECONDS * side.messages):
            return True
        if self._past.waiting:
            # What waits is of later than the rules in force are: then they are the ones that are behind.
            return self._past.next_sequence > side.last + behind
        if not self._past.left:
            return True
        await self._past.news(_NEWS_SECONDS)
        return False

    async def _put_in_force(self, sequence: int) -> ReloadReport:
        """Between two messages: read the rest, and swap."""
        assert self._past is not None
        assert self._apart is not None
        self.swapping = True
        try:
            async with asyncio.timeout(REST_SECONDS):
                while self._apart.side.last < sequence and not await self._has_all(sequence):
                    pass
        except TimeoutError:
            self.swapping = False
            raise _NotYetError from None
        except BaseException:
            self.swapping = False
            raise
        report = await asyncio.to_thread(self._processor.swap, self.prepared, sequence, self._apart)
        self.is_in_force = True
        return report

    async def _put_in_force_cold(self, sequence: int) -> ReloadReport:
        self.swapping = True
        return await asyncio.to_thread(self._processor.swap, self.prepared, sequence)

    async def _has_all(self, sequence: int) -> bool:
        """Take in some of the rest; whether nothing more is to come up to the sequence."""
        assert self._past is not None
        if self._slice(sequence):
            await asyncio.sleep(0)
            return False
        if not self._past.waiting:
            await self._past.news(_REST_NEWS_SECONDS)
        if self._past.waiting:
            return self._past.next_sequence > sequence
        return await self._past.nothing_left()


def _shown(epoch_ms: int) -> str:
    at = datetime.datetime.fromtimestamp(epoch_ms / 1000, datetime.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def shown_progress(found: dict[str, Any]) -> str:
    """A `Progress` as plain data, as people read it."""
    progress = msgspec.convert(found, Progress)
    return f"{progress.hash} comes into force when its rules are filled: {progress}"
