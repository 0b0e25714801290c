"""How much memory an engine's state takes, by walking all that is reachable from it."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections import Counter
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import msgspec

from engine import Matcher

_CODE = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType)
"""The program, not its state."""
STATES = ("DeviceState", "Kept", "Group", "Match", "Published", "Alert")
"""What is counted by name, where the engine has objects of these types."""


class State(msgspec.Struct, frozen=True):
    """What a matcher holds: objects, their bytes, how many of each type in ``STATES``, and the
    resident memory of the whole process.
    """

    objects: int
    bytes: int
    of_type: dict[str, int]
    resident: int


def resident_bytes() -> int:
    """Resident memory of this process; where the system does not say, the most it ever had."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(matcher: Matcher) -> State:
    """Walk the state. Sizes are those of ``sys.getsizeof``; each object counts once."""
    gc.collect()
    seen: set[int] = set()
    left: list[object] = [matcher]
    total = 0
    types: Counter[str] = Counter()
    while left:
        thing = left.pop()
        if id(thing) in seen or isinstance(thing, _CODE):
            continue
        seen.add(id(thing))
        total += sys.getsizeof(thing)
        name = type(thing).__name__
        if name in STATES:
            types[name] += 1
        if isinstance(thing, msgspec.Struct):
            # Structs without the garbage collector's header do not say what they refer to.
            left.extend(getattr(thing, field) for field in thing.__struct_fields__)
        else:
            left.extend(gc.get_referents(thing))
    return State(len(seen), total, {name: types[name] for name in STATES}, resident_bytes())
