"""``thenwire replay --report``: the replay as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dsl
from engine.caps import CapWarning
from engine.cli.common import UsageError, err
from engine.cli.show import safe
from engine.matcher import Matcher
from engine.replay import Tally
from engine.report.fits import Fits
from engine.report.html import Collector, build, render


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
        files: Sequence[str],
        warnings: Sequence[CapWarning],
    ) -> None:
        """Write the page.

        Raises:
            UsageError: it cannot be written.
        """
        names = ["standard input" if name == "-" else Path(name).name for name in files]
        page = render(build(ruleset, matcher, self.fits, self.alerts, tally, names, warnings))
        try:
            self.path.write_bytes(page)
        except OSError as error:
            reason = (error.strerror or "not writable").lower()
            raise UsageError(f"`{self.path}` cannot be written: {reason}") from None
        err.print(safe(f"report: {self.path}"))
