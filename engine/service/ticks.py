"""Time for a silent stream.

The engine's clock is the time at which JetStream stored the last message. When none comes, nobody would ever
learn that something did not happen, so the service publishes a message of its own into the input stream: a
tick. Its place and its time are recorded like those of any event, so a replay decides as the first run did.
A tick goes out when nothing has come for ``tick_after`` while a rule waits for a time to pass; much sooner
while deadlines that have passed are still being judged, for that, too, goes on with the time of messages.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from nats.errors import Error as NatsError

from engine.debt import MOST_MILLISECONDS
from engine.service.connection import Connection
from engine.service.settings import Settings
from engine.service.subjects import TICK, tick_subject

_log = logging.getLogger("thenwire.service")
_TIMEOUT_SECONDS: Final = 5.0
_COMPLAIN_EVERY_SECONDS: Final = 300.0
_BEHIND_SECONDS: Final = MOST_MILLISECONDS / 1000


@runtime_checkable
class Waits(Protocol):
    """A processor for which time alone can decide something."""

    @property
    def has_deadlines(self) -> bool:
        """Whether a rule can ever wait for a time to pass."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether one waits now."""
        ...

    @property
    def behind(self) -> bool:
        """Whether work is left over that goes on with time."""
        ...


class Ticker:
    """Publishes ticks. ``position`` gives the sequence of the last message that was processed."""

    def __init__(
        self, connection: Connection, settings: Settings, processor: Waits, position: Callable[[], int]
    ) -> None:
        self.sent = 0
        """Ticks that the stream has stored."""
        self._connection = connection
        self._settings = settings
        self._processor = processor
        self._position = position
        self._subject = tick_subject(settings.input_subjects)
        self._complain_at = 0.0

    async def run(self) -> None:
        """Publish ticks when they are due, until cancelled. Returns at once if there is never a need."""
        after = self._settings.tick_after
        if not after or not self._processor.has_deadlines:
            return
        # What passed while nobody was running is decided now, and a missing permission shows at the start.
        await self._tick()
        known, since = self._position(), time.monotonic()
        while True:
            behind = self._processor.behind
            await asyncio.sleep(min(after / 4, _BEHIND_SECONDS) if behind else after / 4)
            position = self._position()
            if position != known:
                known, since = position, time.monotonic()
            elif self._processor.waiting and (behind or time.monotonic() - since >= after):
                await self._tick()
                since = time.monotonic()

    async def _tick(self) -> None:
        if not self._connection.client.is_connected:
            return
        stream = self._settings.input_stream
        # Two services that read the same silence make one tick of it.
        headers = {"Nats-Msg-Id": f"tick:{stream}:{self._position()}"}
        try:
            stored = await self._connection.jetstream(_TIMEOUT_SECONDS).publish(
                self._subject, TICK, stream=stream, headers=headers
            )
        except (NatsError, TimeoutError) as error:
            self._complain(str(error) or "no answer")
        else:
            self.sent += not stored.duplicate

    def _complain(self, reason: str) -> None:
        now = time.monotonic()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_EVERY_SECONDS
            _log.warning(
                "stream %s takes no tick on %s (%s): while no event comes, absences are not decided",
                *(self._settings.input_stream, self._subject, reason.removeprefix("nats: ")),
            )
