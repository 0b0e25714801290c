"""How to log in: what is read from files, what the client is given, and what a refusal means.

Every file is read and judged before a connection is tried. The client would take an unreadable file for a
server that is away and try for ever, and it loops without end over a credentials file without a JWT.
Sentences name files and settings, never what is in them.
"""

import base64
import logging
import ssl
from collections.abc import Callable
from typing import Any

from engine.service.errors import ServiceError, SettingsError
from engine.service.settings import Settings

_log = logging.getLogger("thenwire.service")
_LARGEST_FILE = 64 * 1024
_JWT = "BEGIN NATS USER JWT"
_SEED = "BEGIN USER NKEY SEED"

# The verdicts of OpenSSL (openssl/x509_vfy.h) that have a sentence of their own.
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAMES = (62, 63, 64)


def login_options(settings: Settings) -> dict[str, Any]:
    """What ``nats.aio.client.Client.connect`` must be given to log in. Raises `SettingsError`."""
    if settings.credentials_file is not None:
        return _credentials(settings.credentials_file)
    if settings.nkey_file is not None:
        seed = _text(settings.nkey_file).strip()
        _key_pair(seed, settings.nkey_file)
        return {"nkeys_seed_str": seed}
    if settings.user is not None:
        return {"user": settings.user, "password": settings.password}
    if settings.token is not None:
        return {"token": settings.token}
    return {}


def way_of_login(settings: Settings) -> str:
    """How the service logs in, for a sentence; without any secret."""
    if settings.credentials_file is not None:
        return f"the credentials file {settings.credentials_file!r}"
    if settings.nkey_file is not None:
        return f"the nkey of {settings.nkey_file!r}"
    if settings.user is not None:
        return f"the user {settings.user!r} and a password"
    if settings.token is not None:
        return "a token"
    if any("@" in url for url in settings.servers):
        return "the login of the server address"
    return "no login"


def wants_tls(settings: Settings) -> bool:
    """Whether a connection without TLS must be refused."""
    return (
        settings.tls_first
        or settings.ca_file is not None
        or settings.certificate_file is not None
        or any(url.startswith(("tls://", "wss://")) for url in settings.servers)
    )


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context for the files of the settings; None leaves the client with the system's authorities.

    Raises `SettingsError` when the files cannot be used.
    """
    if settings.ca_file is None and settings.certificate_file is None:
        return ssl.create_default_context() if wants_tls(settings) else None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file is not None:
            # Without an answer of our own OpenSSL would ask the terminal for the pass phrase of a key.
            context.load_cert_chain(settings.certificate_file, settings.key_file, password=lambda: b"")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        what = str(getattr(error, "reason", None) or reason or "no certificate or key in them can be read")
        said = what.lower().replace("_", " ")
        raise SettingsError(f"The files of NATS_CA, NATS_CERT and NATS_KEY cannot be used: {said}.") from None
    return context


def tls_failure(error: BaseException, where: str, settings: Settings) -> ServiceError | None:
    """The sentence for a TLS handshake that can never succeed, else None.

    ``where``: the server's address without a login.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return ServiceError(f"The certificate of the NATS server {_verdict(error, where)}.")
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        if settings.certificate_file is None:
            return ServiceError(
                f"The NATS server at {where} asks for a client certificate: set NATS_CERT and NATS_KEY."
            )
        return ServiceError(
            f"The NATS server at {where} refused the client certificate {settings.certificate_file!r}."
        )
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return ServiceError(f"The NATS server at {where} does not speak TLS there: see tls_first.")
    return None


def _verdict(error: ssl.SSLCertVerificationError, where: str) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return f"at {where} has expired"
    if code == _NOT_YET_VALID:
        return f"at {where} is not valid yet; this machine's clock may be wrong"
    if code in _OTHER_NAMES:
        return f"is not for the name in {where}"
    return f"at {where} is not signed by an authority that is trusted here: set NATS_CA"


def _credentials(path: str) -> dict[str, Any]:
    jwt, seed = _read_credentials(path)
    known = [(jwt, seed)]

    def current() -> tuple[str, str]:
        """Read again, because short-lived credentials are replaced; the last good ones if it fails."""
        try:
            known[0] = _read_credentials(path)
        except SettingsError as error:
            _log.warning("%s The login read before is used.", error)
        return known[0]

    # The client asks for the signature first, then for the JWT: both must be of one reading.
    def signature(nonce: str) -> bytes:
        return base64.b64encode(_key_pair(current()[1], path).sign(nonce.encode()))

    return {"signature_cb": signature, "user_jwt_cb": _bytes_of(lambda: known[0][0])}


def _bytes_of(text: Callable[[], str]) -> Callable[[], bytearray]:
    return lambda: bytearray(text().encode())


def _read_credentials(path: str) -> tuple[str, str]:
    """The JWT and the seed of a credentials file: each the line after its heading."""
    lines = [line.strip() for line in _text(path).splitlines()]
    jwt, seed = (
        next((lines[i + 1] for i, line in enumerate(lines[:-1]) if heading in line), "")
        for heading in (_JWT, _SEED)
    )
    if not jwt or not seed:
        raise SettingsError(
            f"The login file {path!r} is no credentials file: it needs a user JWT and a seed."
        )
    _key_pair(seed, path)
    return jwt, seed


def _key_pair(seed: str, path: str) -> Any:
    try:
        import nkeys
    except ImportError:
        raise SettingsError("NATS_CREDS and NATS_NKEY need the package nkeys: pip install nkeys.") from None
    try:
        return nkeys.from_seed(bytearray(seed.encode()))
    except Exception:
        # Whatever nkeys says may quote the seed.
        raise SettingsError(f"The login file {path!r} holds no usable nkey seed.") from None


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise SettingsError(f"The login file {path!r} cannot be read: {error.strerror}.") from None
    if len(raw) > _LARGEST_FILE or b"\x00" in raw:
        raise SettingsError(f"The login file {path!r} is no file with a login.")
    return raw.decode("utf-8", "replace")
