"""Where the state is kept: a file, or a bucket on the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from engine.service.checkpoints.bucket import BucketStore
from engine.service.checkpoints.model import StateStore
from engine.service.checkpoints.sqlite import SqliteStore
from engine.service.errors import SettingsError
from engine.service.settings import Settings

NOWHERE = "none"
BUCKET = "kv:"
_BUCKET_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def state_store(settings: Settings, environment: Mapping[str, str]) -> StateStore | None:
    """The store that the settings name; None if no state is to be kept.

    Raises:
        SettingsError: there is no such place.
    """
    where = settings.state
    if where == NOWHERE:
        return None
    if where is None:
        return SqliteStore(default_file(settings, environment))
    if where.startswith(BUCKET):
        return BucketStore(
            bucket_name(where), f"{settings.input_stream}_{settings.consumer}", create=settings.manage_streams
        )
    if not where:
        raise SettingsError("Setting state names no file; say none to keep no state.")
    return SqliteStore(Path(where))


def bucket_name(where: str) -> str:
    """The bucket in ``kv:BUCKET``. Raises `SettingsError`."""
    name = where.removeprefix(BUCKET)
    if not _BUCKET_NAME.fullmatch(name):
        raise SettingsError(f"Setting state must be kv: and letters, digits, - and _, not {where[:60]!r}.")
    return name


def default_file(settings: Settings, environment: Mapping[str, str]) -> Path:
    """Where the state is unless told otherwise: one file for each stream and consumer.

    With an embedded server in a directory of its own it is in that directory, else in the user's state
    directory.
    """
    if settings.embedded and settings.embedded_directory:
        # Beside the stream that it belongs to.
        return Path(settings.embedded_directory) / f"{settings.input_stream}.{settings.consumer}.state"
    state = environment.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "thenwire" / f"{settings.input_stream}.{settings.consumer}.state"
