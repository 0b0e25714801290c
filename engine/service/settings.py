"""What the service can be told: a plain mapping (a TOML table, command-line options) and the environment.

The mapping wins over the environment. Durations are seconds, or text such as
``"2h"``, ``"1h30m"``, ``"500ms"``.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.service.contexts import read_context
from engine.service.errors import SettingsError

ENVIRONMENT = {
    "NATS_URL": "servers",
    "NATS_CREDS": "credentials_file",
    "NATS_NKEY": "nkey_file",
    "NATS_USER": "user",
    "NATS_PASSWORD": "password",
    "NATS_CA": "ca_file",
    "NATS_CERT": "certificate_file",
    "NATS_KEY": "key_file",
    "NATS_TOKEN": "token",
}
"""Environment variable -> setting. The names are those of the NATS command-line client (ADR-21);
NATS_CONTEXT names one of its contexts."""

_LOGIN = ("credentials_file", "nkey_file", "user", "password", "token")
_LISTS = ("servers", "input_subjects", "alerts_subjects", "ocsf_subjects", "dead_letter_subjects")
_DURATIONS = (
    "duplicate_window",
    "input_max_age",
    "dead_letter_max_age",
    "connect_timeout",
    "stop_timeout",
    "publish_timeout",
    "commit_interval",
    "checkpoint_interval",
    "tick_after",
    "idle_heartbeat",
)
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUBJECT = re.compile(r"(?:[^\s.*>]+|\*)(?:\.(?:[^\s.*>]+|\*))*(?:\.>)?|>")
_URL = re.compile(
    r"(?:(?P<scheme>nats|tls|ws|wss)://)?(?:(?P<login>[^@/]*)@)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^@/\s:\[\]]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_MAPPED_ERROR = re.compile(r"(?P<what>.*?) - at `\$\.(?P<where>[^`]*)`", re.DOTALL)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of the service with their defaults; made by `load_settings`.

    Raises `SettingsError` when values contradict each other. The text form
    shows no secret.
    """

    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    credentials_file: str | None = None
    nkey_file: str | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    tls_first: bool = False
    """Begin with TLS instead of waiting for the server's offer; the server must be set up for it."""
    jetstream_domain: str | None = None
    inbox_prefix: str = "_INBOX"

    input_stream: str = "EVENTS"
    input_subjects: tuple[str, ...] = ("events.>",)
    alerts_stream: str = "ALERTS"
    alerts_subjects: tuple[str, ...] = ("alerts.>",)
    ocsf: bool = False
    """Publish each alert a second time as an OCSF Detection Finding, into a stream of its own."""
    ocsf_stream: str = "OCSF"
    ocsf_subjects: tuple[str, ...] = ("ocsf.>",)
    dead_letter_stream: str = "DLQ"
    dead_letter_subjects: tuple[str, ...] = ("dlq.thenwire.>", "late.thenwire.>")
    consumer: str = "thenwire"
    manage_streams: bool = True
    duplicate_window: float = 7200.0
    """Seconds in which JetStream drops a second alert with the same id; longer than the longest downtime."""
    input_max_age: float = 7 * 86400.0
    """Seconds that a created input stream keeps events; 0 keeps them for ever."""
    dead_letter_max_age: float = 30 * 86400.0

    embedded: bool = False
    """Start a NATS server of our own and use it instead of ``servers``."""
    embedded_directory: str | None = None
    """Where it keeps its files; default ``thenwire/nats`` in the user's state directory (XDG_STATE_HOME)."""
    embedded_port: int = 0
    embedded_sync_always: bool = False
    server_binary: str | None = None

    pull_batch: int = 1000
    """Messages that one pull request asks for; two requests are out at a time."""
    pull_bytes: int = 16 * 1024 * 1024
    """Bytes that one pull request may bring, so at most twice this waits in memory."""
    idle_heartbeat: float = 1.0
    """Seconds between the server's signs of life; after twice this without one the pull is opened again."""
    max_ack_pending: int = 100_000
    """Messages delivered and not yet acknowledged before the server stops; above rate x commit interval."""
    commit_interval: float = 0.25
    """Seconds between acknowledgements of the input when no state is kept."""
    state: str | None = None
    """Where the state is kept: a file, ``kv:BUCKET``, or ``none``. None: a file in the state directory."""
    checkpoint_interval: float = 5.0
    """Seconds between checkpoints: the state is stored, then the input acknowledged."""
    tick_after: float = 5.0
    """Seconds of silence in the input after which time goes on by a message of our own; 0 for never."""
    publish_window: int = 2000
    """Published messages waiting for their acknowledgement at a time."""
    publish_timeout: float = 5.0
    """Seconds after which an unacknowledged message is published again, with the same id."""
    connect_timeout: float = 30.0
    """Seconds that the start waits for a server."""
    stop_timeout: float = 20.0
    """Seconds that a stop may take; what is unfinished then is processed again at the next start."""

    http_address: str | None = None
    """``host:port`` or a port of 127.0.0.1 for /healthz, /readyz and /metrics; None for no HTTP."""
    endpoints: bool | None = None
    """Answer requests over NATS (`thenwire top`, drain, ...). None: only with the embedded server."""

    def __post_init__(self) -> None:
        _check(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Settings({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The fields for printing, with secrets masked."""
        shown: list[tuple[str, Any]] = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in ("password", "token") and value is not None:
                value = "***"
            elif name == "servers":
                value = tuple(without_login(url) for url in value)
            shown.append((name, value))
        return shown


def load_settings(mapping: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Make `Settings` from ``mapping``, completed from ``environment`` (see `ENVIRONMENT`).

    ``mapping`` may have a ``context``: what it leaves open comes from that context of the NATS command-line
    client, then from the environment, then from the context that NATS_CONTEXT names. Whoever says first how
    to log in says all of it. Raises `SettingsError` with one sentence.
    """
    values = {name: value for name, value in mapping.items() if name != "context"}
    given = {name: text for variable, name in ENVIRONMENT.items() if (text := environment.get(variable))}
    if mapping.get("context") is not None:
        _complete(values, read_context(str(mapping["context"]), environment))
    _complete(values, given)
    if mapping.get("context") is None and environment.get("NATS_CONTEXT"):
        _complete(values, read_context(environment["NATS_CONTEXT"], environment))
    for name in _LISTS:
        if isinstance(values.get(name), str):
            values[name] = [part.strip() for part in values[name].split(",") if part.strip()]
    for name in _DURATIONS:
        if isinstance(values.get(name), str):
            values[name] = parse_duration(values[name], name)
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(_sentence(str(error))) from None


def _complete(values: dict[str, Any], further: Mapping[str, Any]) -> None:
    """Put in what ``values`` leaves open; a login comes from one place as a whole."""
    login_given = any(values.get(name) is not None for name in _LOGIN)
    for name, value in further.items():
        if values.get(name) is None and not (login_given and name in _LOGIN):
            values[name] = value


def parse_duration(text: str, name: str) -> float:
    """Seconds from ``"2h"``, ``"1h30m"`` or ``"500ms"``. Raises `SettingsError` naming the setting."""
    compact = text.replace(" ", "").lower()
    if not _DURATION.fullmatch(compact):
        raise SettingsError(f"Setting {name} must be a duration such as 500ms, 30s or 2h, not {text[:40]!r}.")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(compact))


def without_login(url: str) -> str:
    """A server URL fit for a log: without user, password or token."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def valid_name(text: str) -> bool:
    """Whether ``text`` may name a stream or a consumer."""
    return _NAME.fullmatch(text) is not None


def _sentence(message: str) -> str:
    placed = _MAPPED_ERROR.fullmatch(message)
    if placed:
        what = placed["what"].replace("`", "")
        return f"Setting {placed['where']}: {what[:1].lower()}{what[1:]}."
    unknown = re.search(r"unknown field `([^`]*)`", message)
    if unknown:
        return f"There is no setting named {unknown[1][:60]!r}."
    return f"The settings are not valid: {message[:200]}."


def _check(settings: Settings) -> None:
    if not settings.servers:
        raise SettingsError("Setting servers (NATS_URL) names no server.")
    for url in settings.servers:
        address = _URL.fullmatch(url)
        if not address or not 0 < int(address["port"] or 4222) <= 65535:
            raise SettingsError(
                f"Setting servers (NATS_URL) has {without_login(url)[:80]!r}, which is no server address "
                "such as nats://127.0.0.1:4222."
            )
    _check_login(settings)
    _check_names(settings)
    _check_numbers(settings)


def _check_login(settings: Settings) -> None:
    if (settings.user is None) != (settings.password is None):
        raise SettingsError("Settings user and password (NATS_USER, NATS_PASSWORD) need each other.")
    ways = [
        name
        for name in ("credentials_file", "nkey_file", "user", "token")
        if getattr(settings, name) is not None
    ]
    if len(ways) > 1:
        raise SettingsError(f"Settings {' and '.join(ways)} are different ways to log in; give one of them.")
    if (settings.certificate_file is None) != (settings.key_file is None):
        raise SettingsError("Settings certificate_file and key_file (NATS_CERT, NATS_KEY) need each other.")


def _check_names(settings: Settings) -> None:
    named = ("input_stream", "alerts_stream", "ocsf_stream", "dead_letter_stream")
    for name in (*named, "consumer", "jetstream_domain"):
        value = getattr(settings, name)
        if value is not None and not _NAME.fullmatch(value):
            raise SettingsError(f"Setting {name} must be letters, digits, - and _, not {value[:40]!r}.")
    streams = [getattr(settings, name) for name in named]
    if len(set(streams)) != len(streams):
        raise SettingsError(f"Settings {', '.join(named[:-1])} and {named[-1]} must be different streams.")
    for name in ("input_subjects", "alerts_subjects", "ocsf_subjects", "dead_letter_subjects"):
        subjects = getattr(settings, name)
        if not subjects:
            raise SettingsError(f"Setting {name} names no subject.")
        for subject in subjects:
            if not _SUBJECT.fullmatch(subject):
                raise SettingsError(f"Setting {name} has {subject[:80]!r}, which is no NATS subject.")
    if not _SUBJECT.fullmatch(settings.inbox_prefix) or ">" in settings.inbox_prefix:
        raise SettingsError(f"Setting inbox_prefix {settings.inbox_prefix[:80]!r} is no NATS subject.")


def _check_numbers(settings: Settings) -> None:
    lowest = {
        "duplicate_window": 1.0,
        "input_max_age": 0.0,
        "dead_letter_max_age": 0.0,
        "pull_batch": 1,
        "pull_bytes": 64 * 1024,
        "idle_heartbeat": 0.1,
        "commit_interval": 0.01,
        "checkpoint_interval": 0.01,
        "tick_after": 0.0,
        "publish_window": 1,
        "publish_timeout": 0.1,
        "connect_timeout": 0.1,
        "stop_timeout": 0.1,
    }
    if not 0 <= settings.embedded_port <= 65535:
        raise SettingsError("Setting embedded_port must be a port number, or 0 for any free one.")
    for name, least in lowest.items():
        if not getattr(settings, name) >= least:
            raise SettingsError(f"Setting {name} must be at least {least:g}.")
    if settings.idle_heartbeat > 10.0:
        raise SettingsError("Setting idle_heartbeat must be at most 10 seconds.")
    if settings.max_ack_pending < 4 * settings.pull_batch:
        # Below this the server stops delivering before the first acknowledgement is due.
        raise SettingsError("Setting max_ack_pending must be at least four times pull_batch.")
    for name in ("input_max_age", "dead_letter_max_age"):
        age = getattr(settings, name)
        if 0 < age < settings.duplicate_window:
            raise SettingsError(f"Setting {name} must be 0 or at least duplicate_window.")
