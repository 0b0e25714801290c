"""Versions of TLS in one spelling, whichever sensor wrote them: "TLS 1.2", "DTLS 1.2", "SSL 3"."""

import re

_VERSION = re.compile(r"(TLS|DTLS|SSL)[ v]*(\d)[.]?(\d)?", re.ASCII | re.IGNORECASE)


def tls_version(text: str | None) -> str | None:
    """Zeek's "TLSv12" and Suricata's "TLS 1.2", "TLSv1" -> "TLS 1.2", "TLS 1.0". What is no version, such as
    Suricata's "UNDETERMINED", is None."""
    found = _VERSION.fullmatch(text or "")
    if found is None:
        return None
    family, major, minor = found[1].upper(), found[2], found[3]
    return f"{family} {major}" if family == "SSL" else f"{family} {major}.{minor or 0}"
