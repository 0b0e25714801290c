"""Names of hosts in one spelling, and the part of them that was registered."""

from typing import Any

from engine.runtime_functions import registrable_domain


def host_fields(name: str | None) -> dict[str, Any]:
    """The fields `host` and `domain` of an event about `name`; nothing for None or an empty name.

    Names are compared case-sensitively by rules and case-insensitively by the DNS, whose clients even send
    random capitals on purpose; so `host` is lower case and has no dot at its end.
    """
    host = (name or "").rstrip(".").lower()
    if not host:
        return {}
    domain = registrable_domain(host)
    return {"host": host} if domain is None else {"host": host, "domain": domain}
