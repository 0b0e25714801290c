"""Flink's CEP library in a mini cluster: ``FlinkCep.java`` with the jars of apache-flink-libraries."""

from __future__ import annotations

from importlib.metadata import version

from benchmarks.peers.jvm import java
from benchmarks.peers.peer import Ready, Task

VERSION = version("apache-flink-libraries")


def prepare(task: Task) -> Ready:
    """Every pair."""
    return java("FlinkCep", "pyflink", "lib", [task.path, "all", "plain"])


def filtered(task: Task) -> Ready:
    """Every pair, with what fits nothing dropped before: our filter."""
    return java("FlinkCep", "pyflink", "lib", [task.path, "all", "filter"])
