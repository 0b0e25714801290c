"""Literals with a grammar of their own: addresses, networks, regular expressions."""

from __future__ import annotations

import ipaddress
import warnings

import re2

MAX_REGEX_CHARACTERS = 1_000
MAX_REGEX_BYTES = 1 << 20
"""Memory RE2 may use for one pattern; larger ones (``(a{1000}){1000}``) are refused."""


def regex_options() -> re2.Options:
    """The options every pattern is compiled with: bounded memory, nothing logged."""
    options = re2.Options()
    options.max_mem = MAX_REGEX_BYTES
    options.log_errors = False
    return options


def check_regex(pattern: object) -> str | None:
    """None if RE2 takes the pattern, else why not, in one line."""
    text = str(pattern)
    if len(text) > MAX_REGEX_CHARACTERS:
        return f"longer than {MAX_REGEX_CHARACTERS} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re2.compile(text, regex_options())
    except UnicodeError:  # a lone surrogate; a file that was read as UTF-8 has none
        return "not valid Unicode text"
    except re2.error as error:
        reason = error.args[0] if error.args else error
        return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    return None


def check_wildcards(text: str) -> str | None:
    """None for a pattern of LIKE, or an entry of a LIST, that can be used; else why not."""
    if ("*" in text or "?" in text) and len(text) > MAX_REGEX_CHARACTERS:
        return f"a pattern with wildcards longer than {MAX_REGEX_CHARACTERS} characters"
    try:
        text.encode()
    except UnicodeError:
        return "not valid Unicode text"
    return None


def check_network(text: str) -> str | None:
    """None for a network in CIDR form, else what is wrong with it."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        return str(error).replace("'", '"')
    return None


def check_ip(text: str) -> str | None:
    """None for an address, else what is wrong with it."""
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        return str(error).replace("'", '"')
    return None
