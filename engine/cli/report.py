"""``thenwire replay --report``: the replay as one HTML page."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

import dsl
from engine.caps import CapWarning
from engine.cli.common import UsageError, err
from engine.cli.recordings import opened, reading_progress
from engine.cli.show import safe
from engine.matcher import Matcher
from engine.replay import Recording, Replay, Takes, Tally
from engine.report.fits import Fits
from engine.report.html import Collector, Followed, NearMiss, Wires, build, render
from engine.report.html.histories import Past


class Page:
    """What a page is made of while the replay runs.

    Args:
        path: of the file. It is written at the end, but one that cannot be is refused at once.

    Raises:
        UsageError: it cannot be written there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fits = Fits()
        self.alerts = Collector()
        if path.is_dir():
            raise UsageError(f"`{path}` is a folder; --report takes a file")
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder `{path.parent}` for the report")

    def write(
        self,
        ruleset: dsl.RuleSet,
        matcher: Matcher,
        tally: Tally,
        recordings: Sequence[Recording],
        warnings: Sequence[CapWarning],
    ) -> None:
        """Write the page. Recordings that are files are read again for the history of baselines, and for
        near misses of silent rules.

        Raises:
            UsageError: it cannot be written.
        """
        names = [
            "standard input" if recording.name == "-" else Path(recording.name).name
            for recording in recordings
        ]
        past: dict[tuple[str, int], Past] = {}
        misses: dict[str, list[NearMiss]] = {}
        if all(recording.name != "-" for recording in recordings):
            shown = self.alerts.shown()
            followed = Followed(ruleset, shown)
            if followed.keys:
                _read_again(followed, recordings, "reading again, for baselines")
                past = followed.past(shown)
            wires = Wires(ruleset, matcher, self.fits)
            if wires.wanted:
                _read_again(wires, recordings, "reading again, for near misses")
                misses = wires.misses()
        report = build(ruleset, matcher, self.fits, self.alerts, tally, names, warnings, misses, past)
        page = render(report)
        try:
            self.path.write_bytes(page)
        except OSError as error:
            reason = (error.strerror or "not writable").lower()
            raise UsageError(f"`{self.path}` cannot be written: {reason}") from None
        err.print(safe(f"report: {self.path}"))


def _read_again(takes: Takes, recordings: Sequence[Recording], what: str) -> None:
    """Feed the recordings to something that raises no alert."""
    with contextlib.ExitStack() as stack:
        again = [
            msgspec.structs.replace(recording, stream=opened(recording.name, stack))
            for recording in recordings
        ]
        progress = stack.enter_context(reading_progress())
        task = progress.add_task(what, total=None)
        work = Replay(takes, again, lambda records: progress.update(task, completed=records))
        for _ in work.run():
            pass
