"""The ``thenwire`` command. One file a command; each is thin and gives an exit code.

Exit codes: 0 fine, 1 findings, 2 usage or input error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from engine import __version__
from engine.cli.alerts import alerts
from engine.cli.baseline import app as baseline
from engine.cli.check import check
from engine.cli.common import UsageError, complain
from engine.cli.coverage import coverage
from engine.cli.demo import demo
from engine.cli.drill import drill
from engine.cli.explain import explain
from engine.cli.format import fmt
from engine.cli.replay import replay
from engine.cli.rules import app as rules
from engine.cli.run import run
from engine.cli.state import app as state
from engine.cli.test import test
from engine.cli.top import top
from engine.cli.why import why

app = App(
    name="thenwire",
    help="A THEN B WITHIN t, over device telemetry: temporal detection rules on NATS.",
    version=__version__,
)
app.command(check)
app.command(test)
app.command(fmt)
app.command(explain)
app.command(baseline)
app.command(replay)
app.command(why)
app.command(coverage)
app.command(run)
app.command(rules)
app.command(state)
app.command(alerts)
app.command(top)
app.command(drill)
app.command(demo)


@app.command
def version() -> int:
    """Print the version."""
    print(f"thenwire {__version__}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. The console script exits with it."""
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=True)
    except CycloptsError:
        return 2
    try:
        result = command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except UsageError as error:
        complain(str(error))
        return 2
    except BrokenPipeError:
        # The reader has gone (``| head``): there is nobody left to tell, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    return result if isinstance(result, int) else 0
