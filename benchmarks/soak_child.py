"""``thenwire run`` that also writes down how long each ``cut`` and each ``slice`` of a checkpoint held the
event loop, one a line and in seconds: the metrics tell the longest only.

    python -m benchmarks.soak_child FILE run --rules ...
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from engine.cli import main as command_line
from engine.service.checkpoints.barrier import Barrier


def main() -> int:
    """The exit code of ``thenwire run``."""
    with Path(sys.argv[1]).open("a", buffering=1) as holds:
        held, cut = Barrier._held, Barrier._cut
        what = "slice"

        def noted(self: Any, seconds: float) -> None:
            holds.write(f"{what} {seconds:.6f}\n")
            held(self, seconds)

        def cutting(self: Any) -> Any:
            nonlocal what
            what = "cut"
            try:
                return cut(self)
            finally:
                what = "slice"

        Barrier._held = noted  # type: ignore[method-assign]  # to look on
        Barrier._cut = cutting  # type: ignore[method-assign]  # likewise
        return command_line(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
