"""Peers in Java: a small program of ours, compiled against the jars of a wheel and run."""

from __future__ import annotations

import resource
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import msgspec

from benchmarks.peers.peer import Measured, Ready


def java(program: str, package: str, jars: str, arguments: list[str]) -> Ready:
    """Compile the program now. The run measures itself, from its first event or the start of its job: the
    start of the machine and of its classes is left out.

    Args:
        program: the name of a class, and of a file beside this one.
        package: a Python package in whose folder the jars are, ``jars`` says where.
        arguments: of the program.

    Raises:
        ModuleNotFoundError: there is no such package.
    """
    spec = find_spec(package)
    places = None if spec is None else spec.submodule_search_locations
    if not places:
        raise ModuleNotFoundError(f"{package} is not installed")
    classes = str(Path(next(iter(places))) / jars / "*")
    # Whoever compares has pointed temporary files to a folder that goes with the comparison.
    folder = tempfile.mkdtemp(prefix="thenwire-java-")
    source = str(Path(__file__).parent / f"{program}.java")
    compiling = ["javac", "-nowarn", "-cp", classes, "-d", folder, source]
    subprocess.run(compiling, check=True, capture_output=True)
    command = ["java", "-Xmx3g", "-cp", f"{folder}:{classes}", program, *arguments]

    def run() -> Measured:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = msgspec.json.decode(done.stdout.strip().rpartition("\n")[2], type=Measured)
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return msgspec.structs.replace(found, resident=most)

    return run
