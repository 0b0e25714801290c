"""How many different values: exactly up to 64, then estimated in one KiB.

Up to 64 values their 64-bit hashes are kept. Then a HyperLogLog with 2^10 registers: of each hash the first
10 bits choose a register, which remembers the greatest number of leading zeros (plus one) of the other 54.
Source: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog", 2007; the estimate is the improved one of Otmar
Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017, which needs neither tables nor
a special case for small counts. Standard error 1.04 / sqrt(1024) = 3.25 %.

The estimate changes only when a register does, so it is worked out then and kept.
"""

from __future__ import annotations

from array import array
from functools import cache, lru_cache
from math import inf, log, sqrt

from engine.baselines.stable import SIZE

EXACT = 64
"""Most keys stay far below (11 domains an app were measured): exact sets are cheaper and have no error."""
PRECISION = 10
REGISTERS = 1 << PRECISION
STANDARD_ERROR = 1.04 / sqrt(REGISTERS)
_BITS = 64 - PRECISION
_REMEMBERED = 65_536
"""Hashes whose places are remembered: a device is added for each of its values."""
_ALPHA = 1.0 / (2.0 * log(2.0))


class Distinct:
    """A set that can be added to and counted. ``count`` is exact up to 64."""

    __slots__ = ("_hashes", "_highest", "_ranks", "_registers", "count")

    def __init__(self) -> None:
        self._hashes = b""
        self._registers: bytearray | None = None
        self._ranks: array[int] | None = None
        """How many registers hold each rank: what the estimate is made of."""
        self._highest = 0
        """The highest rank but the last that any register holds; it never falls."""
        self.count: float = 0

    def add(self, digest: bytes) -> bool:
        """Add a value by its hash; whether the count changed."""
        registers = self._registers
        if registers is not None:
            index, rank = _place(digest)
            if rank <= registers[index]:
                return False
            self._put(digest)
            self._estimate()
            return True
        if self.has(digest):
            return False
        self._hashes += digest
        self.count += 1
        if self.count > EXACT:
            self._dense(bytearray(REGISTERS))
            for at in range(0, len(self._hashes), SIZE):
                self._put(self._hashes[at : at + SIZE])
            self._hashes = b""
            self._estimate()
        return True

    def has_place(self, digest: bytes) -> bool:
        """Whether adding a value would change nothing, told of a set that is not exact any more."""
        if self._registers is None:
            return False
        index, rank = _place(digest)
        return rank <= self._registers[index]

    def has(self, digest: bytes) -> bool:
        """Whether a value is in an exact set; False once it is not exact any more."""
        at = self._hashes.find(digest)
        while at % SIZE and at != -1:
            # Found across two hashes.
            at = self._hashes.find(digest, at + 1)
        return at != -1

    def pack(self) -> bytes:
        """The state; at most 1,024 bytes."""
        return self._hashes if self._registers is None else bytes(self._registers)

    @classmethod
    def unpack(cls, state: bytes) -> Distinct:
        made = cls()
        if len(state) == REGISTERS:
            made._dense(bytearray(state))
            made._estimate()
        else:
            made._hashes = state
            made.count = len(state) // SIZE
        return made

    def _dense(self, registers: bytearray) -> None:
        self._registers = registers
        self._ranks = array("H", [registers.count(rank) for rank in range(_BITS + 2)])
        self._highest = max((rank for rank in range(_BITS + 1) if self._ranks[rank]), default=0)

    def _put(self, digest: bytes) -> bool:
        """Let a hash into its register; whether that changed it."""
        assert self._registers is not None
        assert self._ranks is not None
        index, rank = _place(digest)
        before = self._registers[index]
        if rank <= before:
            return False
        self._registers[index] = rank
        self._ranks[before] -= 1
        self._ranks[rank] += 1
        if self._highest < rank <= _BITS:
            self._highest = rank
        return True

    def _estimate(self) -> None:
        ranks = self._ranks
        assert ranks is not None
        highest, z = self._highest, 0.0
        if ranks[_BITS + 1]:
            highest, z = _BITS, REGISTERS * _tau(1.0 - ranks[_BITS + 1] / REGISTERS)
        for rank in range(highest, 0, -1):
            z = 0.5 * (z + ranks[rank])
        z += _of_empty(ranks[0])
        self.count = max(float(EXACT), _ALPHA * REGISTERS * REGISTERS / z)


@lru_cache(maxsize=_REMEMBERED)
def _place(digest: bytes) -> tuple[int, int]:
    """The register of a hash, and its rank."""
    bits = int.from_bytes(digest, "big")
    return bits >> _BITS, _BITS - (bits & ((1 << _BITS) - 1)).bit_length() + 1


@cache
def _of_empty(registers: int) -> float:
    """What so many empty registers say; there are few numbers of them."""
    return REGISTERS * _sigma(registers / REGISTERS)


def _sigma(x: float) -> float:
    """x + sum of x^(2^k) 2^(k-1): what empty registers say."""
    if x == 1.0:
        return inf
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    """(1 - x - sum of (1 - x^(2^-k))^2 2^-k) / 3: what full registers say."""
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1.0 - x
    while True:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
        if z == before:
            return z / 3.0
