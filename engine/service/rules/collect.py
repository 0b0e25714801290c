"""The files of a set, for pushing it elsewhere: rule files and the LIST files that they name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dsl.params import PARAMS_FILE
from dsl.ruleset import rule_files
from engine.reload.prepare import Prepared
from engine.service.errors import ServiceError
from engine.service.rules.bucket import safe_name


def collect(paths: Sequence[str | Path], prepared: Prepared) -> dict[str, bytes]:
    """Name to content, names below the folder that holds all paths.

    Raises:
        ServiceError: a LIST file lies outside of it, or a name cannot be used elsewhere; one sentence.
    """
    texts = prepared.ruleset.texts.keys() - {PARAMS_FILE}
    files = [Path(os.path.abspath(path)) for path in rule_files(paths) if str(path) in texts]
    given = [Path(os.path.abspath(path)) for path in paths]
    root = Path(os.path.commonpath([path if path.is_dir() else path.parent for path in given]))
    lists = [
        Path(os.path.abspath(found.path))
        for found in prepared.ruleset.lists.values()
        if found.path is not None
    ]
    found: dict[str, bytes] = {}
    for path in [*files, *lists]:
        if not path.is_relative_to(root):
            raise ServiceError(f"The LIST file {path} lies outside of {root}: put it below the rules.")
        name = path.relative_to(root).as_posix()
        if not safe_name(name):
            raise ServiceError(
                f"The file name {ascii(name)[:120]} cannot be pushed: use letters, digits, `_`, `-` and `.`."
            )
        found[name] = path.read_bytes()
    return found
