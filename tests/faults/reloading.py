"""Rules and lists that change while the campaign runs, and the record of when each change came into force.

The service decides when: it looks at its files, makes a set ready, and puts it in force between two messages.
Each of its checkpoints says which rules and which list entries its state belongs to; `child.py` writes that
down just before the checkpoint is stored. Whoever dies before it is stored is followed by another one that
writes the checkpoint of the same number, so of each number the last entry is the one that counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import nats
from rule_versions import LIST, LIST_FILE, Version, Versions

from engine.reload.prepare import Prepared, prepare
from engine.service.checkpoints.model import Mark
from engine.service.rules.apart import Apart
from engine.service.rules.processor import ReloadingProcessor
from engine.service.rules.refusals import REFUSED

_BETWEEN_SECONDS: Final = (0.2, 1.6)
_PATIENCE_SECONDS: Final = 60.0
_LEAVE_SECONDS: Final = 6.0
_END_BYTES: Final = 4096
_LETTERS: Final = f"dlq.thenwire.{REFUSED}"


class Changed(msgspec.Struct, frozen=True):
    """After the message ``sequence`` these rules and these list entries were in force.

    ``before``: the entries at the moment of the reload, where there was one. A list may be read again at the
    same place before it or after it, and an old version goes on with what it had then.
    ``filled_from``: the first message that rules without a past were filled with, up to this place; None
    where none were. ``filled_with``: the entries for that.
    """

    sequence: int
    rules: str
    entries: str
    before: str | None = None
    filled_from: int | None = None
    filled_with: str | None = None


class Line(Mark, frozen=True, kw_only=True):
    """What `child.py` writes."""

    lists_before_swap: dict[str, str] = msgspec.field(default_factory=dict)
    filled_from: int | None = None
    filled_lists: dict[str, str] = msgspec.field(default_factory=dict)


class Reloader:
    """Writes one version after the other into a folder, and entries into its LIST file, until `stop`.

    Args:
        folder: of the rules; made, and the first version written.
        seed: of what is changed, and when.
        journal: what `child.py` writes.
        client: to see what was refused.
    """

    def __init__(self, folder: Path, seed: int, journal: Path, client: Any = None) -> None:
        self.folder = folder
        self.written = asyncio.Event()
        """Something was changed just now; who waits for it clears it first."""
        self._journal = journal
        self.versions: dict[str, Version] = {}
        self.lists: dict[str, tuple[str, ...]] = {}
        self.refused: list[Version] = []
        """Bad sets that the service is known to have refused."""
        self.client = client
        self._makes = Versions(seed)
        self._random = Random(seed + 4)
        self._stopping = asyncio.Event()
        folder.mkdir(parents=True)
        self._list(("app1", "app3"))
        self._rules(self._makes.first)

    @property
    def first(self) -> Version:
        """The version that the service began with."""
        return self._makes.first

    async def run(self) -> None:
        """Until `stop`."""
        while not await self._stopped_within(self._random.uniform(*_BETWEEN_SECONDS)):
            how = self._random.random()
            if how < 0.2:
                self._list(self._makes.entries())
            elif how < 0.35:
                await self._refusal(self._makes.bad())
            else:
                await self._in_force(self._makes.next())

    def stop(self) -> None:
        """`run` returns soon."""
        self._stopping.set()

    async def letters(self) -> Counter[str]:
        """How many refusals were published of each set, by its hash."""
        return Counter(str(letter["hash"]) for letter in await self._published())

    async def _in_force(self, version: Version) -> None:
        """Put it there, and leave it for a while, or nothing would ever come into force between the kills."""
        self._rules(version)
        wanted = version.hash.encode()
        end = asyncio.get_running_loop().time() + _LEAVE_SECONDS
        while asyncio.get_running_loop().time() < end and not await self._stopped_within(0.1):
            if wanted in await asyncio.to_thread(_end_of, self._journal):
                return

    async def _refusal(self, version: Version) -> None:
        self._rules(version)
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while version.hash not in await self.letters():
            assert asyncio.get_running_loop().time() < deadline, f"a bad set is not refused: {version.kind}"
            if await self._stopped_within(0.1):
                return
        self.refused.append(version)

    async def _published(self) -> list[dict[str, Any]]:
        """The server may be away, or have no such stream yet."""
        found: list[dict[str, Any]] = []
        jetstream = self.client.jetstream(timeout=1.0)
        sequence = 1
        while True:
            try:
                message = await jetstream.get_msg("DLQ", seq=sequence, next=True, subject=_LETTERS)
            except (nats.errors.Error, TimeoutError):
                return found
            found.append(msgspec.json.decode(message.data))
            sequence = message.seq + 1

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _rules(self, version: Version) -> None:
        self.versions[version.hash] = version
        self.written.set()
        _write(self.folder / "campaign.rule", version.text)

    def _list(self, entries: tuple[str, ...]) -> None:
        self.lists[_digest(entries)] = entries
        self.written.set()
        _write(self.folder / LIST_FILE, "\n".join(entries) + "\n")


class Replayed:
    """A processor that has the changes of a run come into force at their places, and never ends.

    Args:
        reloader: what was written.
        changes: see `read_changes`.
        folder: of its own, for the list's file.
    """

    def __init__(self, reloader: Reloader, changes: Iterable[Changed], folder: Path) -> None:
        self._folder = folder
        self._reloader = reloader
        self._left = list(changes)
        folder.mkdir(parents=True)
        _write(folder / LIST_FILE, "app1\napp3\n")
        self.processor = ReloadingProcessor(self._prepared(reloader.first.hash))
        self.stream: Sequence[Any] = ()
        """What rules are filled from: all that there is, in order (``reference_run.Recorded``)."""
        self.kinds: Counter[str] = Counter()
        """What was changed how often."""
        self.fates: Counter[str] = Counter()
        """How many rules were kept, drained, dropped, filled or new, over all reloads."""

    def after(self, sequence: int) -> None:
        """All that came into force after a message. To be called for each."""
        while self._left and self._left[0].sequence <= sequence:
            self._apply(self._left.pop(0))

    def _apply(self, change: Changed) -> None:
        processor = self.processor
        if change.rules != processor.in_force.bundle.hash:
            self._list(change.before)
            version = self._reloader.versions[change.rules]
            prepared = self._prepared(change.rules)
            filled = None if change.filled_from is None else self._filled(prepared, change)
            report = processor.swap(prepared, change.sequence, filled)
            self.kinds[version.kind] += 1
            self.fates.update(rule.state for rule in report.rules)
            # The new version of one that drains.
            self.fates.update("filled" for rule in report.rules if rule.anew is not None)
        self._list(change.entries)

    def _filled(self, prepared: Prepared, change: Changed) -> Apart:
        """What would begin cold, with the past that the service has given it."""
        assert change.filled_from is not None
        apart = self.processor.beside(prepared)
        if change.filled_with is not None:
            apart.replace_list(LIST, self._reloader.lists[change.filled_with])
        for message in self.stream:
            if change.filled_from <= message.sequence <= change.sequence:
                kind = message.headers.get("Content-Type")
                place = message.sequence, "EVENTS", message.subject, message.stored_ms
                apart.process(message.payload, kind, *place)
                apart.side.took(message.sequence, 1, message.stored_ms)
        return apart

    def _list(self, digest: str | None) -> None:
        if digest is not None and digest != self.processor.list_digests()[LIST]:
            self.processor.replace_list(LIST, self._reloader.lists[digest])
            self.kinds["list"] += 1

    def _prepared(self, hash_: str) -> Prepared:
        _write(self._folder / "campaign.rule", self._reloader.versions[hash_].text)
        found = prepare([self._folder], {})
        assert isinstance(found, Prepared), found
        return found


def read_changes(journal: Path) -> list[Changed]:
    """What was in force after which message, from what `child.py` wrote; see the head of this file."""
    last: dict[int, Line] = {}
    for line in journal.read_bytes().splitlines():
        mark = msgspec.json.decode(line, type=Line)
        last[mark.generation] = mark
    found: list[Changed] = []
    for generation in sorted(last):
        mark = last[generation]
        before = mark.lists_before_swap.get(LIST)
        filled = mark.filled_from, mark.filled_lists.get(LIST)
        change = Changed(mark.sequence, mark.notes["rules"], mark.lists[LIST], before, *filled)
        if not found or (change.rules, change.entries) != (found[-1].rules, found[-1].entries):
            found.append(change)
    return found


def _end_of(journal: Path) -> bytes:
    with journal.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END_BYTES))
        return file.read()


def _digest(entries: Iterable[str]) -> str:
    """As a checkpoint names them: `MatchingProcessor.list_digests`."""
    return hashlib.blake2b("\n".join(sorted(entries)).encode(), digest_size=8).hexdigest()


def _write(path: Path, text: str) -> None:
    """At once: half a file would be refused, which is another test's matter."""
    half = path.with_suffix(".half")
    half.write_text(text)
    os.replace(half, path)
