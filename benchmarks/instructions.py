"""Instructions an event, counted by valgrind: a figure that other work on the machine does not change.

``python -m benchmarks.instructions w1 w2`` prints them for the decode floor, the hand-written code and the
engine. Time depends on caches and neighbours as well; of two versions of the code, this tells which does
less. Needs valgrind; a minute for each work, most of it for the imports.

Valgrind counts a process as a whole, so each measurement is a fork, and what the fork had behind it is taken
off: that of a fork which does nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

EVENTS = 40_000
_COUNTED = re.compile(r"==(\d+)== I +refs: +([\d,]+)")
_NOTHING = "nothing"


def main() -> int:
    """Count and print; the exit code: 0 fine, 2 no valgrind or no such work."""
    names = sys.argv[1:] or ["w1", "w2", "w3-100"]
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("there is no valgrind on this machine", file=sys.stderr)
        return 2
    command = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-c", "from benchmarks.instructions import run; run()", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        return 2
    counted = {int(pid): int(count.replace(",", "")) for pid, count in _COUNTED.findall(done.stderr)}
    none = floor = 0
    for line in done.stdout.splitlines():
        work, what, events, pid = line.split("\t")
        count = counted[int(pid)]
        if what == _NOTHING:
            none = count
            continue
        each = (count - none) // int(events)
        floor = each if what == "floor" else floor
        print(f"{work:10} {what:8} {each:7,} instructions an event  {each / floor:5.2f} x floor")
    return 0


def run() -> None:
    """Do what is counted. In each line: the work, what was done, with how many events, in which process."""
    from benchmarks.floor import floor_decoder
    from benchmarks.run import feed_all
    from benchmarks.works import works_of
    from engine import Matcher

    for name in sys.argv[1:]:
        for work in works_of("short", 1, name):
            if work.name != name:
                continue
            lines = work.lines[:EVENTS]
            matcher, reference = Matcher(work.ruleset), work.reference
            decode = floor_decoder(matcher.decoder)

            def floor(lines: list[bytes] = lines, decode: Callable[[bytes], object] = decode) -> None:
                for line in lines:
                    decode(line)

            tasks: list[tuple[str, Callable[[], object]]] = [(_NOTHING, lambda: None), ("floor", floor)]
            if reference is not None:
                tasks.append(("by hand", lambda lines=lines, count=reference: count(lines)))  # type: ignore[misc]  # its own
            tasks.append(("engine", lambda lines=lines, matcher=matcher: feed_all(matcher, lines)))  # type: ignore[misc]  # its own
            for what, task in tasks:
                _forked(f"{name}\t{what}\t{len(lines)}", task)


def _forked(label: str, task: Callable[[], object]) -> None:
    sys.stdout.flush()
    child = os.fork()
    if not child:
        task()
        print(f"{label}\t{os.getpid()}", flush=True)
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    sys.exit(main())
