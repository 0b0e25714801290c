"""Hashes that are the same in every process: they are state, and state outlives the process.

Python's own hash of a string is salted anew at each start. This is BLAKE2b, cut to 64 bits: nobody can
choose a value that is taken for another one, as with shorter or simpler hashes (finding a second value with
one of 64 known hashes takes 2^58 tries).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TypeAlias

SIZE = 8
"""Bytes of a hash."""
_REMEMBERED = 65_536

Part: TypeAlias = "str | int | float | bool | tuple[Part, ...]"


@lru_cache(maxsize=_REMEMBERED)
def stable_hash(value: Part) -> bytes:
    """Eight bytes for a value or a tuple of values. Numbers that are equal have equal hashes, whatever
    their type: the cache does not tell ``1`` from ``1.0`` either.
    """
    parts = value if isinstance(value, tuple) else (value,)
    digest = blake2b(digest_size=SIZE)
    for part in parts:
        if isinstance(part, tuple):
            encoded = b"t" + stable_hash(part)
        elif isinstance(part, str):
            encoded = b"s" + part.encode("utf-8", "surrogatepass")
        elif part == part and abs(part) != float("inf") and part == int(part):
            encoded = b"n%d" % int(part)
        else:
            encoded = b"f" + repr(float(part)).encode()
        # The length keeps ("ab", "c") apart from ("a", "bc").
        digest.update(len(encoded).to_bytes(4, "little") + encoded)
    return digest.digest()
