"""Puts new rules, exceptions and switches in force while the service runs.

A new set is read, checked, tested and compiled in a thread, and then put in force between two messages, while
the input is held and the rest of the service goes on. A set that is refused changes nothing; it is logged and
published as a dead letter, each once.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from engine.reload.prepare import Prepared, Refused
from engine.reload.report import ReloadReport
from engine.service.changes import Change
from engine.service.ending import end
from engine.service.lists import keep_fresh
from engine.service.rules.files import names_off
from engine.service.rules.new_lists import NewLists, list_names
from engine.service.rules.processor import ReloadingProcessor
from engine.service.rules.refusals import publish_refusal
from engine.service.rules.warming import CannotFillError, Warming
from engine.service.settings import Settings

_log = logging.getLogger("thenwire.service")
LOOK_SECONDS: Final = 2.0
_CLOSE_SECONDS: Final = 5.0
Found = Prepared | Refused | None
Text = tuple[str | None, str | None]


class RuleSource(Protocol):
    """Where sets come from: see `RuleFiles`. A `look` that is no coroutine may block."""

    def look(self, *, now: bool = False) -> Found | Awaitable[Found]: ...


class TextSource(Protocol):
    """A text that may change: new text, and what is newly wrong with it. See `TextFile`."""

    def look(self) -> Text | Awaitable[Text]: ...


class RuleWatch:
    """Looks for changes every `LOOK_SECONDS` and puts them in force. `run` is a companion of the service.

    Args:
        processor: whose rules they are.
        rules: the source of sets; None where the rules do not change.
        exceptions: a file of exceptions, or None.
        off: a file that names the rules that are switched off, or None.

    Attributes:
        settings: for publishing what is refused, and for reading the past; None: it is only logged, and
            nothing is filled.
        warm_ms: how far back rules are filled that would begin cold at a change; None: they begin cold.
        report: called with each report and refusal as plain data, for who publishes them elsewhere.
    """

    def __init__(
        self,
        processor: ReloadingProcessor,
        rules: RuleSource | None,
        exceptions: TextSource | None = None,
        off: TextSource | None = None,
    ) -> None:
        self.settings: Settings | None = None
        self.warm_ms: int | None = None
        self.report: Callable[[], None] = lambda: None
        self.refused: Refused | None = None
        """The set that was refused last, if nothing was put in force since."""
        self._processor = processor
        self._rules = rules
        self._exceptions = exceptions
        self._off = off
        self._change: Change | None = None
        self._looking = asyncio.Lock()
        self._said_new: set[str] = set()
        self._said_expired: set[str] = set()
        self._lists: asyncio.Task[None] | None = None
        self._listed = list_names(processor.ruleset)
        self._letters: set[asyncio.Task[None]] = set()
        self._filling: tuple[Warming, asyncio.Task[None]] | None = None

    async def run(self, change: Change) -> None:
        """Look for changes until cancelled."""
        self._change = change
        try:
            # First: what was withheld must be withheld from the first message on.
            await self._look_at_texts()
            if self._processor.refused is not None:
                self._refuse(self._processor.refused)
            pending = self._processor.pending
            if pending is not None:
                await self._put_in_force(pending)
            while True:
                await self._look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for task in [*self._letters, *([self._lists] if self._lists else [])]:
                task.cancel()
            if self._filling is not None:
                self._filling[1].cancel()

    def status(self) -> dict[str, Any]:
        """What is in force, and what was refused since, as plain data."""
        refused = self.refused
        said = (
            None
            if refused is None
            else {"hash": refused.hash, "sentence": refused.sentence, "problems": list(refused.problems)}
        )
        return {
            **self._processor.rules_status(),
            "refused": said,
            "filling": None if self._fills is None else msgspec.to_builtins(self._fills.progress),
            "written_ms": round(time.time() * 1_000),
        }

    @property
    def _fills(self) -> Warming | None:
        """The set that is being filled, until it is in force."""
        return None if self._filling is None or self._filling[0].is_in_force else self._filling[0]

    async def reload(self) -> str:
        """Look now; a sentence that says what became of it."""
        if self._change is None:
            return "The service does not read its input yet."
        before = self._processor.reloads
        found = await self._look(now=True)
        if isinstance(found, Refused):
            return f"Refused: {found.sentence}; the rules {self._processor.in_force.bundle.hash} go on."
        if self._fills is not None:
            return (
                f"The rules {self._fills.prepared.bundle.hash} are in order and come into force when "
                f"they are filled with the past: {self._fills.progress}; the rules "
                f"{self._processor.in_force.bundle.hash} go on until then."
            )
        if self._processor.reloads == before:
            return f"Nothing new: the rules {self._processor.in_force.bundle.hash} go on."
        said = str(self._processor.in_force.report)
        return f"{said[:1].upper()}{said[1:]}."

    async def _look(self, *, now: bool = False) -> Prepared | Refused | None:
        async with self._looking:
            await self._look_at_texts()
            if self._rules is None:
                return None
            found: Prepared | Refused | None = await _ask(self._rules.look, now=now)
            if isinstance(found, Refused):
                self._refuse(found)
            elif found is not None:
                await self._put_in_force(found)
            return found

    async def _put_in_force(self, prepared: Prepared) -> None:
        """Now, or when what would begin cold is filled: then this returns before."""
        assert self._change is not None
        processor = self._processor
        if self._filling is not None and self._filling[0].prepared.bundle.hash == prepared.bundle.hash:
            self.refused = None
            return
        await self._give_up_filling()
        if prepared.bundle.hash == processor.in_force.bundle.hash:
            processor.pending = None
            self.refused = None
            return
        if self.warm_ms and self.settings and await asyncio.to_thread(processor.begins_cold, prepared):
            warming = Warming(processor, prepared, self.settings, self.warm_ms, self._change)
            task = asyncio.get_running_loop().create_task(self._fill(warming))
            self._filling = warming, task
            return
        await self._swap(prepared)

    async def _swap(self, prepared: Prepared) -> None:
        assert self._change is not None
        processor = self._processor
        try:
            report = await self._change(
                lambda sequence: asyncio.to_thread(processor.swap, prepared, sequence)
            )
        except Exception as error:
            self._failed(prepared, error)
            return
        self.refused = None
        self._say(report, prepared)

    async def _fill(self, warming: Warming) -> None:
        """Beside everything else. A set may be refused meanwhile, and that stays said."""
        prepared = warming.prepared
        self.refused = None
        self.report()
        report: ReloadReport | None = None
        try:
            report = await warming.run()
        except CannotFillError as error:
            _log.warning(
                "the rules %s are not filled with the past: %s They begin cold.",
                *(prepared.bundle.hash, error),
            )
        except Exception:
            _log.exception("the rules %s are not filled with the past, and begin cold", prepared.bundle.hash)
        finally:
            await warming.close()
        if report is None:
            # They begin cold: who changes rules wants them to be in force.
            await self._swap(prepared)
            self._filling = None
            return
        self._filling = None
        self._say(report, prepared)

    async def _give_up_filling(self) -> None:
        """A newer set is there. One that is just coming into force does so before it."""
        if self._filling is None:
            return
        warming, task = self._filling
        if not warming.swapping and not task.done():
            _log.info("the rules %s are given up: there is a newer set", warming.prepared.bundle.hash)
            task.cancel()
        # Once: it takes its consumer away before it ends. A cancellation that got lost is made up for.
        await asyncio.wait([task], timeout=_CLOSE_SECONDS)
        if not warming.swapping:
            await end(task)
        else:
            await asyncio.wait([task])
        self._filling = None

    def _say(self, report: ReloadReport, prepared: Prepared) -> None:
        _log.info("%s; %d tests passed", report, prepared.tests)
        for rule in report.rules:
            if rule.state != "kept" or rule.fate != "unchanged":
                _log.info(
                    "rule %s: %s, %s: %d devices, %d matches under way, %d alerts%s",
                    *(rule.rule, rule.fate, rule.state, rule.devices, rule.partial, rule.alerts),
                    "" if rule.anew is None else f"; the new version filled: {rule.anew} matches under way",
                )
        self._watch_new_lists()
        self.report()

    def _failed(self, prepared: Prepared, error: Exception) -> None:
        _log.exception("the rules %s cannot be put in force", prepared.bundle.hash)
        self._refuse(Refused(prepared.bundle.hash, f"{type(error).__name__}: {error}", ()))

    def _refuse(self, refused: Refused) -> None:
        self.refused = refused
        _log.error(
            "the new rules are refused: %s; the rules %s go on",
            *(refused.sentence, self._processor.in_force.bundle.hash),
        )
        for problem in refused.problems:
            _log.error("%s", problem)
        if self.settings is not None and self._rules is not None:
            in_force = self._processor.in_force.bundle.hash
            task = asyncio.get_running_loop().create_task(publish_refusal(self.settings, refused, in_force))
            self._letters.add(task)
            task.add_done_callback(self._letters.discard)
        self.report()

    # --- exceptions and switches

    async def _look_at_texts(self) -> None:
        assert self._change is not None
        if self._exceptions is not None:
            text, problem = await _ask(self._exceptions.look)
            if problem is not None:
                _log.error("the exceptions cannot be read: %s; those of before go on", problem)
            if text is not None:
                await self._change(lambda _: self._except(text))
                self.report()
        if self._off is not None:
            text, problem = await _ask(self._off.look)
            if problem is not None:
                _log.error("the file of rules that are off cannot be read: %s; it stays as it was", problem)
            if text is not None:
                names = names_off(text)
                await self._change(lambda _: self._switch(names))
                self.report()
        self._say_expired()

    def _except(self, text: str) -> None:
        processor = self._processor
        for problem in processor.except_(text):
            _log.error("exceptions, %s", problem)
        found = processor.withheld.exceptions
        new = [one for one in found.all if one.id not in self._said_new]
        self._said_new = {one.id for one in found.all}
        for one in new:
            _log.warning(
                "alerts of rule %s are excepted until the end of %s where %s: %s (%s, exception %s)",
                *(one.rule, one.expires, one.shown, one.reason, one.author, one.id),
            )
        _log.info("%d exceptions in force, %d of them new", len(found.all), len(new))

    def _switch(self, names: Sequence[str]) -> None:
        processor = self._processor
        off, on = processor.switch(names)
        for name in off:
            _log.warning("rule %s is switched off: its new alerts are not published", name)
        for name in on:
            _log.warning("rule %s is switched on again", name)
        for name in names:
            if name not in processor.ruleset.rules:
                _log.error("no rule is called %s, so it cannot be switched off", name)

    def _say_expired(self) -> None:
        for one in self._processor.expired():
            if one.id not in self._said_expired:
                self._said_expired.add(one.id)
                _log.warning(
                    "EX107: the exception %s of %s for rule %s has expired with %s: its alerts are published "
                    "again; delete it, or give it a new date",
                    *(one.id, one.author, one.rule, one.expires),
                )

    # --- lists of later sets

    def _watch_new_lists(self) -> None:
        """Lists that the first set did not have are read again, too."""
        assert self._change is not None
        if self._lists is not None:
            self._lists.cancel()
        new = [found for found in self._processor.refreshed if (found.name, found.path) not in self._listed]
        self._lists = asyncio.get_running_loop().create_task(
            keep_fresh(NewLists(self._processor, new), self._change)
        )


async def _ask(look: Callable[..., Any], **arguments: Any) -> Any:
    if inspect.iscoroutinefunction(look):
        return await look(**arguments)
    return await asyncio.to_thread(look, **arguments)
