"""The processor of the service whose rules may change: see ``engine.reload``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

import dsl
from engine.alerts import Alert
from engine.baselines.declared import OtherState
from engine.reload.bundle import bundle_of
from engine.reload.exceptions import Excepted, Problem, read_exceptions
from engine.reload.in_force import InForce
from engine.reload.prepare import Prepared, Refused, make_matcher, prepare_loaded
from engine.reload.report import ReloadReport
from engine.reload.withheld import OFF, PAST, Withheld
from engine.service.checkpoints.model import Cutting
from engine.service.matching import DEFAULT_MAX_SKEW_MS, MatchingProcessor
from engine.service.processor import Outgoing
from engine.service.rules.apart import Apart
from engine.service.subjects import header_value

_log = logging.getLogger("thenwire.service")
EXCEPTED: Final = "excepted"
"""Stands in the subject of an excepted alert where others have their severity."""
_FREED: Final = 64
"""Things of rules that are over which are let go of after each message: some tens of microseconds."""
HEADER: Final = "Thenwire-Exception"


class ReloadingProcessor(MatchingProcessor):
    """A `MatchingProcessor` whose rules are swapped between two messages.

    Args:
        given: the set, ready to run; or why there is none: then only a state that has rules can be gone on
            from.
        max_skew_ms, ocsf: see `MatchingProcessor`.

    Attributes:
        pending: the set that was given, while a state of another set is gone on from. It is to be put in
            force as soon as that may be done.
        refused: the set that was given, if a state of another set is gone on from and this one may not
            follow it.
    """

    carries_rules = True
    """The stored state has the rules it belongs to, so that a state of other rules is no obstacle."""

    def __init__(
        self, given: Prepared | Refused, max_skew_ms: int = DEFAULT_MAX_SKEW_MS, ocsf: bool = False
    ) -> None:
        prepared = _nothing() if isinstance(given, Refused) else given
        super().__init__(prepared.ruleset, max_skew_ms, ocsf, matcher=prepared.matcher)
        self.in_force = InForce(prepared.bundle, prepared.ruleset, prepared.matcher)
        self.withheld = Withheld()
        self.pending: Prepared | None = None
        self.refused: Refused | None = given if isinstance(given, Refused) else None
        self.reloads = 0
        """Put in force since the start of the process."""
        self._given = given

    def _move_on(self, received_ms: int, out: list[Outgoing]) -> None:
        super()._move_on(received_ms, out)
        self.withheld.forget(received_ms)

    def _also(
        self,
        payload: bytes,
        content_type: str | None,
        stream_sequence: int,
        stream: str,
        subject: str,
        received_ms: int,
        out: list[Outgoing],
    ) -> None:
        """Old versions that drain take the message, too, and what is over is let go of."""
        force = self.in_force
        if force.drains:
            latest = received_ms + self._max_skew_ms
            try:
                alerts = force.drained(payload, content_type, stream_sequence, received_ms, latest)
            except Exception as error:
                # A bug; what the rules in force say of the message must not vanish with it.
                gone = ", ".join(name for drain in force.drains for name in drain.rules)
                _log.critical("the old versions of %s failed and drain no longer", gone)
                out.append(self._failed(error, payload, stream_sequence, stream, subject, 0))
                force.end_drains()
            else:
                self._say(alerts, out)
        if force.leftovers:
            force.leftovers.free(_FREED, force.matcher.changes)
        self._goes_further = bool(force.drains or force.leftovers)

    def _outgoing(self, alert: Alert) -> list[Outgoing]:
        by = self.withheld.by(alert, self.now_ms)
        if by is None:
            return super()._outgoing(alert)
        if by in (OFF, PAST):
            return []
        _log.debug("alert %s of rule %s on %s is excepted by %s", alert.id, alert.rule.name, alert.device, by)
        found = self._published(alert, EXCEPTED)
        return [
            msgspec.structs.replace(one, headers={**one.headers, HEADER: header_value(by)}) for one in found
        ]

    def _stay_unheard(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self.withheld.note_past(alert)

    # --- changes, between two messages

    @property
    def now_ms(self) -> int:
        """When the last message was stored, epoch milliseconds; 0 before the first."""
        return self.matcher.clocks.wall

    def begins_cold(self, prepared: Prepared) -> bool:
        """Whether any rule or baseline of a set would know nothing of what was before."""
        return self.in_force.begins_cold(prepared)

    def beside(self, prepared: Prepared) -> Apart:
        """What of a set would begin cold, to be filled with the past. It takes as long as making a set ready,
        and may run in a thread.
        """
        side = self.in_force.beside(prepared)
        return Apart(prepared, side, self._max_skew_ms, list(self.unknown))

    def let_go(self, apart: Apart) -> None:
        """It will not come into force."""
        self.in_force.leftovers.add([apart.matcher])
        self._goes_further = True

    def swap(self, prepared: Prepared, sequence: int, filled: Apart | None = None) -> ReloadReport:
        """Put another set in force after the message ``sequence``. If it raises, nothing has changed.

        ``filled``: what would have begun cold; it has taken the messages up to that one.
        """
        # A name that the set before did not have may be one now.
        exceptions, _ = read_exceptions(self.withheld.text, prepared.ruleset)
        if filled is None:
            report = self.in_force.swap(prepared, sequence, self.now_ms)
        else:
            filled.end_filling()
            report = self.in_force.swap(prepared, sequence, self.now_ms, filled.side)
            for alert in filled.silent:
                self.withheld.note_past(alert)
        self.withheld.exceptions = exceptions
        self.use(self.in_force.ruleset, self.in_force.matcher)
        self._goes_further = bool(self.in_force.drains or self.in_force.leftovers)
        self.reloads += 1
        self.pending = None
        return report

    def except_(self, text: str) -> list[Problem]:
        """Apply the exceptions of a file from now on; what is wrong in it, which does not apply."""
        self.withheld.exceptions, problems = read_exceptions(text, self.ruleset)
        self.withheld.text = text
        return problems

    def expired(self) -> list[Excepted]:
        """Exceptions that no longer apply, by the time of the stream."""
        return self.withheld.exceptions.expired(self.now_ms)

    def switch(self, off: Iterable[str]) -> tuple[list[str], list[str]]:
        """Switch these rules off and all others on."""
        return self.withheld.switch(frozenset(off))

    # --- state

    def cut(self) -> Cutting:
        """The state now, with the rules that it belongs to."""
        record, cut = self.in_force.cut()
        return _Cut(record, self.withheld.state(), cut)

    def restore(self, shared: bytes, devices: Iterable[tuple[str, bytes]]) -> None:
        """Go on from a state, under the rules it was stored with. Raises ``engine.state.OtherState``."""
        try:
            record, withheld, inner = msgspec.msgpack.decode(shared, type=tuple[bytes, bytes, bytes])
        except msgspec.MsgspecError as error:
            raise OtherState(
                "the state is damaged, or of a service that could not change its rules"
            ) from error
        self.in_force = InForce.restore_parts(record, inner, devices, self.in_force)
        self.use(self.in_force.ruleset, self.in_force.matcher)
        self._goes_further = bool(self.in_force.drains or self.in_force.leftovers)
        self.withheld.restore(withheld)
        self.except_(self.withheld.text)
        for found in self.ruleset.lists.values():
            if found.path in self.in_force.unread:
                # What it holds is known from the state alone.
                self._loaded.pop(found.name)
        given = self._given
        if isinstance(given, Refused):
            return
        if self.in_force.bundle.hash == given.bundle.hash:
            return
        tried = prepare_loaded(given.bundle, given.ruleset)
        if isinstance(tried, Refused):
            self.refused = tried
            return
        self.pending = tried
        _log.warning(
            "the state is of the rules %s: they go on until what was read before is read again, then %s "
            "comes into force",
            *(self.in_force.bundle.hash, given.bundle.hash),
        )

    @property
    def cannot_begin(self) -> str | None:
        """Why nothing can be done without a state, as a sentence."""
        if self.matcher.rules:
            return None
        why = f": {self.refused.sentence}" if self.refused is not None else ""
        return f"No rule is left to run{why}."

    def notes(self) -> dict[str, str]:
        """Which rules are in force, and since which message."""
        force = self.in_force
        return {
            "rules": force.bundle.hash,
            "rules_since": str(force.sequence),
            "draining": str(len(force.drains)),
        }

    @property
    def has_deadlines(self) -> bool:
        """Whether a rule can wait for a time to pass; a later set may."""
        return True

    @property
    def waiting(self) -> bool:
        """Whether a rule waits for a time to pass, or an old version drains."""
        return super().waiting or bool(self.in_force.drains)

    def rules_status(self) -> dict[str, Any]:
        """What is in force, as plain data: for status and notices."""
        force, counts = self.in_force, self.withheld.counts
        expired = {one.id for one in self.expired()}
        return {
            "hash": force.bundle.hash,
            "rules": list(self.matcher.rules),
            "since_sequence": force.sequence,
            "pending": None if self.pending is None else self.pending.bundle.hash,
            "reloads": self.reloads,
            "draining": [
                {"rules": list(drain.rules), "sequence": drain.sequence, "until_ms": drain.until_ms}
                for drain in force.drains
            ],
            "shadow": sorted(self._shadow),
            "off": [
                {"rule": name, "withheld": counts.by_rule.get(name, 0)} for name in sorted(self.withheld.off)
            ],
            "exceptions": [
                {
                    "id": one.id,
                    "rule": one.rule,
                    "where": one.shown,
                    "author": one.author,
                    "reason": one.reason,
                    "expires": one.expires,
                    "expired": one.id in expired,
                    "withheld": counts.by_exception.get(one.id, 0),
                }
                for one in self.withheld.exceptions.all
            ],
            "last": None if force.report is None else msgspec.to_builtins(force.report),
        }


def _nothing() -> Prepared:
    """A set without rules."""
    ruleset = dsl.load_text("")
    return Prepared(bundle_of(ruleset), ruleset, make_matcher(ruleset), 0)


class _Cut:
    """A cut of the matchers, with the rules in front of what belongs to no device."""

    def __init__(self, record: bytes, withheld: bytes, inner: Cutting) -> None:
        self.shared = msgspec.msgpack.encode((record, withheld, inner.shared))
        self.pack = inner.pack


def inner_state(shared: bytes) -> bytes | None:
    """The matcher's own part of what a `ReloadingProcessor` stored; None if another one stored it."""
    try:
        return msgspec.msgpack.decode(shared, type=tuple[bytes, bytes, bytes])[2]
    except msgspec.MsgspecError:
        return None
