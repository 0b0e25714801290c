"""Addresses in one spelling, and what is inside a network."""

import functools
import ipaddress
import re

from engine.sources.records import Refused, shown

_INTERNAL_V4 = tuple(
    (int(network.network_address), int(network.netmask))
    for network in map(
        ipaddress.IPv4Network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"),
    )
)
_MAC = re.compile(r"([0-9a-f]{2})[:-]?" * 5 + r"([0-9a-f]{2})", re.ASCII)


def is_internal(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool | None:
    """Whether a destination is in a private, link-local, unique-local or loopback range.

    None for multicast, broadcast and unspecified addresses: they name no host, inside or outside.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_internal(address.ipv4_mapped)
        packed = address.packed
        if packed[0] == 0xFF or packed == bytes(16):
            return None
        unique_local = packed[0] & 0xFE == 0xFC
        link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
        return unique_local or link_local or packed == bytes(15) + b"\x01"
    value = int(address)
    if value >> 28 == 0xE or value in (0, 0xFFFFFFFF):
        return None
    return any(value & mask == network for network, mask in _INTERNAL_V4)


def address(value: object, name: str) -> tuple[str, bool | None]:
    """The canonical text of the address in the field `name`, and whether it is internal.

    Raises Refused "wrong_type".
    """
    # ip_address would take an integer for an address, and a zone ("%eth0") that only the sensor knows.
    if isinstance(value, str) and "%" not in value:
        try:
            return _understood(value)
        except ValueError:
            pass
    raise Refused("wrong_type", f"{name} is '{shown(value)}', not an IP address.")


def mac(text: object) -> str | None:
    """A hardware address as "08:00:07:f8:3d:02"; None for anything else."""
    found = _MAC.fullmatch(text.lower()) if isinstance(text, str) else None
    return ":".join(found.groups()) if found else None


@functools.lru_cache(4096)
def _understood(text: str) -> tuple[str, bool | None]:
    # Remembered because it is half the cost of a row, and a log names the same addresses again and again.
    found = ipaddress.ip_address(text)
    return str(found), is_internal(found)
