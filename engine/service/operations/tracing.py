"""W3C trace context: what a message brings is handed on to the messages that it causes.

The service makes no spans of its own, so the context passes through unchanged (Trace Context, level 2,
section 4.3: a participant that does not take part in tracing forwards both headers). It is checked, because
whoever publishes an event chooses its headers, and consumers of alerts trust ours: a context that is not of
the published form is dropped. Of a message with many events, or one at which a silence became complete, the
context is that of the message.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from engine.service.processor import Outgoing

PARENT = "traceparent"
STATE = "tracestate"
LONGEST_STATE = 512
MOST_MEMBERS = 32

_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-[!-~]*)?"
)
_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
_LONGEST_PARENT = 256


def trace_context(headers: Mapping[str, str]) -> dict[str, str]:
    """The trace headers among those of a message, in lower case; empty when there is no valid context."""
    parent = state = ""
    for name, value in headers.items():
        lowered = name.lower()
        if lowered == PARENT:
            parent = value.strip()
        elif lowered == STATE:
            state = value.strip()
    if not parent or not _valid_parent(parent):
        return {}
    found = {PARENT: parent}
    if state and _valid_state(state):
        found[STATE] = state
    return found


def with_trace(outgoing: Sequence[Outgoing], headers: Mapping[str, str]) -> list[Outgoing]:
    """The messages with the trace context of the one that caused them."""
    context = trace_context(headers)
    if not context:
        return list(outgoing)
    return [msgspec.structs.replace(one, headers={**one.headers, **context}) for one in outgoing]


def _valid_parent(text: str) -> bool:
    if len(text) > _LONGEST_PARENT:
        return False
    parts = _PARENT.fullmatch(text)
    if parts is None or parts["version"] == "ff":
        return False
    if not parts["trace"].strip("0") or not parts["span"].strip("0"):
        return False
    # Only a later version may have more fields.
    return parts["more"] is None or parts["version"] != "00"


def _valid_state(text: str) -> bool:
    if len(text) > LONGEST_STATE:
        return False
    members = [member.strip(" \t") for member in text.split(",")]
    given = [member for member in members if member]
    if not given or len(members) > MOST_MEMBERS:
        return False
    names = [member.partition("=")[0] for member in given]
    return len(set(names)) == len(names) and all(_MEMBER.fullmatch(member) for member in given)
