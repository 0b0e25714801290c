"""Siddhi: ``SiddhiPattern.java`` with the jars of PySiddhi."""

from __future__ import annotations

from benchmarks.peers.jvm import java
from benchmarks.peers.peer import Ready, Task

VERSION = "5.1.7"


def prepare(task: Task) -> Ready:
    """Each first event with its first second one; what fits nothing is dropped before: our filter."""
    return java("SiddhiPattern", "__PySiddhiProxy", "target/lib", [task.path])
