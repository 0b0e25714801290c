"""The contexts of the NATS command-line client: named files that say where a server is and how to log in.

``$XDG_CONFIG_HOME/nats/context/<name>.json`` (else ``~/.config``), and in ``nats/context.txt`` the name of
the one that is selected. The keys are those that the command-line client writes (its package
``natscontext``). A key that thenwire does not know how to follow is refused: a connection that leaves out
a proxy or a signing tool would be another one than the context describes.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.service.errors import SettingsError

SELECTED = "@"
"""Instead of a name: the context that is selected in the command-line client."""

_NAME = re.compile(r"[^/\\\x00-\x1f]{1,128}")
_LARGEST_FILE = 64 * 1024
_SETTINGS = {
    "url": "servers",
    "token": "token",
    "user": "user",
    "password": "password",
    "creds": "credentials_file",
    "nkey": "nkey_file",
    "cert": "certificate_file",
    "key": "key_file",
    "ca": "ca_file",
    "jetstream_domain": "jetstream_domain",
    "inbox_prefix": "inbox_prefix",
    "tls_first": "tls_first",
}
_FILES = ("creds", "nkey", "cert", "key", "ca")
_WITHOUT_EFFECT = ("name", "description", "color_scheme", "jetstream_event_prefix")


def read_context(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a context, named as in `Settings`; ``@`` is the selected one.

    Raises `SettingsError` with one sentence that shows nothing of the file's content but names of keys.
    """
    folder = _folder(environment)
    if name == SELECTED:
        name = _selected(folder)
    if not _NAME.fullmatch(name) or ".." in name:
        raise SettingsError(f"{name[:60]!r} is no name of a NATS context.")
    path = folder / "context" / f"{name}.json"
    content = _content(name, path)
    found: dict[str, Any] = {}
    for key, value in content.items():
        if value in ("", None, False) or key in _WITHOUT_EFFECT:
            continue
        setting = _SETTINGS.get(key)
        if setting is None:
            raise SettingsError(
                f"The NATS context {name!r} uses {key[:40]!r}, which thenwire cannot follow; "
                "give the settings themselves."
            )
        if key in _FILES and isinstance(value, str):
            value = _expanded(value, environment)
        found[setting] = value
    if "user" in found:
        found.setdefault("password", "")
    return found


def _folder(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path(environment.get("HOME") or Path.home()) / ".config") / "nats"


def _selected(folder: Path) -> str:
    path = folder / "context.txt"
    try:
        name = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    if not name or name == SELECTED:
        raise SettingsError(f"No NATS context is selected: {str(path)!r} names none.")
    return name


def _content(name: str, path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SettingsError(f"There is no NATS context {name!r}: {str(path)!r} does not exist.") from None
    except OSError as error:
        raise SettingsError(
            f"The NATS context {name!r} cannot be read: {error.strerror or 'no reason given'}."
        ) from None
    try:
        if len(raw) > _LARGEST_FILE:
            raise ValueError
        content = msgspec.json.decode(raw, type=dict[str, Any])
    except (ValueError, RecursionError):
        raise SettingsError(f"The file of the NATS context {name!r} is no JSON object.") from None
    return content


def _expanded(path: str, environment: Mapping[str, str]) -> str:
    if path == "~" or path.startswith("~/"):
        return str(environment.get("HOME") or Path.home()) + path[1:]
    return path
