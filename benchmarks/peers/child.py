"""``python -m benchmarks.peers.child MODULE TASK``: one peer, one work, once; prints what it measured as
JSON.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from pathlib import Path
from time import perf_counter, process_time

import msgspec

from benchmarks.peers.peer import Measured, Prepare, Task


def main() -> None:
    """Run it."""
    where, text = sys.argv[1:]
    task = msgspec.json.decode(text, type=Task)
    module, _, function = where.partition(":")
    loaded = importlib.import_module(f"benchmarks.peers.{module}")
    prepare: Prepare = getattr(loaded, function or "prepare")
    ready = prepare(task)
    gc.collect()
    gc.freeze()
    wall, cpu = perf_counter(), process_time()
    found = ready()
    if not isinstance(found, Measured):
        found = Measured(found, process_time() - cpu, perf_counter() - wall)
    resident = _most_resident()
    version = found.version or str(getattr(loaded, "VERSION", ""))
    found = msgspec.structs.replace(found, version=version, resident=found.resident or resident)
    # Engines write to standard output as they please; this is the last line.
    sys.stdout.write("\n" + msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()


def _most_resident() -> int:
    """The most memory this process had; 0 where the system does not say. Not ``getrusage``: its figure
    comes from
    the parent where that had more.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
    # Some engines take long to go, or complain, and all is said.
    os._exit(0)
