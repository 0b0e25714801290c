"""Nkeys, and the JWTs of a decentralised setup as `nsc` makes them (NATS ADR-14, version 2)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from typing import Any

import nkeys


class Pair:
    """One nkey; ``kind`` is nkeys' prefix byte for operators, accounts or users."""

    def __init__(self, kind: int) -> None:
        self.seed = nkeys.encode_seed(os.urandom(32), kind).decode()
        self._pair = nkeys.from_seed(bytearray(self.seed.encode()))
        self.public = self._pair.public_key.decode()

    def sign(self, claims: dict[str, Any], name: str, subject: Pair, expires: int | None = None) -> str:
        body: dict[str, Any] = {
            "iat": int(time.time()),
            "iss": self.public,
            "name": name,
            "sub": subject.public,
            "nats": {**claims, "version": 2},
        }
        if expires is not None:
            body["exp"] = expires
        digest = hashlib.sha512(json.dumps(body).encode()).digest()[:32]
        body["jti"] = base64.b32encode(digest).decode().rstrip("=")
        parts = [_encoded({"typ": "JWT", "alg": "ed25519-nkey"}), _encoded(body)]
        signature = self._pair.sign(".".join(parts).encode())
        return ".".join([*parts, base64.urlsafe_b64encode(signature).decode().rstrip("=")])


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


class Operator:
    """An operator with one account that may use JetStream; gives server configuration and credentials."""

    def __init__(self) -> None:
        self._operator = Pair(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = Pair(nkeys.PREFIX_BYTE_ACCOUNT)
        self._system = Pair(nkeys.PREFIX_BYTE_ACCOUNT)
        self._revoked: dict[str, int] = {}
        # Signed once: what is signed in another second is another operator to a server, which takes over
        # accounts while it runs, but no operator.
        self._owner = self._operator.sign({"type": "operator"}, "operator", self._operator)

    def configuration(self) -> str:
        unlimited = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True}
        unlimited |= {"conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1}
        unlimited["consumer"] = -1
        account = {"type": "account", "limits": unlimited, "revocations": self._revoked}
        system = {"type": "account", "limits": {"conn": -1, "subs": -1, "data": -1, "payload": -1}}
        signed = {
            self._account.public: self._operator.sign(account, "account", self._account),
            self._system.public: self._operator.sign(system, "system", self._system),
        }
        preload = "\n".join(f"  {public}: {jwt}" for public, jwt in signed.items())
        return (
            f"operator: {self._owner}\nsystem_account: {self._system.public}\n"
            f"resolver: MEMORY\nresolver_preload {{\n{preload}\n}}\n"
        )

    def user(self, expires: int | None = None) -> tuple[str, str, str]:
        """The public key, the JWT and the seed of a new user."""
        pair = Pair(nkeys.PREFIX_BYTE_USER)
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        return pair.public, self._account.sign(claims, "user", pair, expires), pair.seed

    def revoke(self, public: str) -> None:
        self._revoked[public] = int(time.time()) + 1


def credentials(jwt: str, seed: str) -> str:
    """The content of a credentials file."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
