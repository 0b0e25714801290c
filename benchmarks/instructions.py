"""Instructions an event, counted by valgrind: a figure that other work on the machine does not change.

``python -m benchmarks.instructions w1 w2`` prints them for the decode floor, the hand-written code and the
engine, and how often one found the first cache without what it needed. Time depends on neighbours as well; of
two versions of the code, this tells which does less. Needs valgrind; some minutes for each work.

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
_COUNTED = re.compile(r"==(\d+)== (I +refs|I1 +misses|D1 +misses): +([\d,]+)")
_CACHES = ("--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,8,64")
"""Of a core of common servers; the last one stands for its second cache."""
_NOTHING = "nothing"


def main() -> int:
    """Count and print; the exit code: 0 fine, 2 no valgrind or no such work."""
    names = sys.argv[1:] or ["w1", "w2", "w3-100"]
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("there is no valgrind on this machine", file=sys.stderr)
        return 2
    command = [valgrind, "--tool=cachegrind", "--cache-sim=yes", *_CACHES, "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-c", "from benchmarks.instructions import run; run()", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        return 2
    counted: dict[int, dict[str, int]] = {}
    for pid, what, count in _COUNTED.findall(done.stderr):
        counted.setdefault(int(pid), {})[what.split()[0]] = int(count.replace(",", ""))
    none: dict[str, int] = {}
    floor = 0.0
    for line in done.stdout.splitlines():
        work, what, events, pid = line.split("\t")
        counts = counted[int(pid)]
        if what == _NOTHING:
            none = counts
            continue
        each = {of: (count - none[of]) / int(events) for of, count in counts.items()}
        floor = each["I"] if what == "floor" else floor
        print(
            f"{work:10} {what:8} {each['I']:7,.0f} instructions an event  {each['I'] / floor:5.2f} x floor;  "
            f"not in a first cache: {each['I1']:5.1f} of code, {each['D1']:5.1f} of data"
        )
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
            keeping = work.keeping
            if keeping is not None:
                tasks.append(("keeping", lambda lines=lines, count=keeping: count(lines)))  # type: ignore[misc]  # its own
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
