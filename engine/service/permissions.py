"""What a NATS user of the service must be allowed: the list, and which entry a refusal means.

The server's error names the subject, but nats-py gives it in lower case only, and it is the concrete
subject (one alert's), not the permission that is missing. So the entry is looked up here.
"""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from engine.service.settings import Settings

BUCKET = "kv:"
"""How a state in a key-value bucket is written in the settings."""
Verb = Literal["publish", "subscribe"]
_ACK = "$JS.ACK."
_VIOLATION = re.compile(r"permissions violation for (publish|subscription) to \"?([^\s\"']+)", re.IGNORECASE)


class Permission(msgspec.Struct, frozen=True):
    """One entry of a user's permissions; ``subject`` may have wildcards."""

    verb: Verb
    subject: str
    purpose: str


def needed(settings: Settings) -> list[Permission]:
    """What the service with these settings needs, and nothing else.

    A server may look at some of them in another form: see `refusal`.
    """
    api = f"$JS.{settings.jetstream_domain}.API" if settings.jetstream_domain else "$JS.API"
    source, consumer = settings.input_stream, settings.consumer
    found = [Permission("publish", subject, "alerts") for subject in settings.alerts_subjects]
    outputs = [settings.alerts_stream, settings.dead_letter_stream]
    if settings.ocsf:
        found += [Permission("publish", subject, "alerts as OCSF") for subject in settings.ocsf_subjects]
        outputs.append(settings.ocsf_stream)
    found += [
        Permission("publish", subject, "dead letters and late events")
        for subject in settings.dead_letter_subjects
    ]
    streams = [source, *outputs]
    found += [
        Permission("publish", f"{api}.STREAM.INFO.{stream}", "checking the stream at the start")
        for stream in streams
    ]
    if settings.manage_streams:
        found += [
            Permission("publish", f"{api}.STREAM.CREATE.{stream}", "creating the stream if it is missing")
            for stream in streams
        ]
    found += [
        Permission("publish", f"{api}.CONSUMER.{verb}.{source}.{consumer}", purpose)
        for verb, purpose in (
            ("INFO", "the position in the input"),
            ("CREATE", "the first start"),
            ("MSG.NEXT", "reading the input"),
            ("RESET", "reading the input in order"),
        )
    ]
    found.append(Permission("publish", f"{_ACK}{source}.{consumer}.>", "acknowledging the input"))
    found.append(Permission("subscribe", f"{settings.inbox_prefix}.>", "answers"))
    if settings.tick_after:
        # Not at the top: it needs the connection, which needs this.
        from engine.service.subjects import tick_subject

        found.append(
            Permission("publish", tick_subject(settings.input_subjects), "time while no event comes")
        )
    if settings.state is not None and settings.state.startswith(BUCKET):
        found += _bucket(api, settings.state.removeprefix(BUCKET), settings.manage_streams)
    if settings.endpoints:
        found += [
            Permission("subscribe", "$SRV.>", "being found"),
            Permission("subscribe", f"thenwire.api.{consumer}.>", "questions, such as those of thenwire top"),
        ]
    return found


def _bucket(api: str, name: str, create: bool) -> list[Permission]:
    """Reading and writing a key-value bucket; whether it allows direct access decides how it is read."""
    found = [
        Permission("publish", f"{api}.STREAM.INFO.KV_{name}", "finding the state"),
        Permission("publish", f"{api}.DIRECT.GET.KV_{name}.>", "reading the state, direct access on"),
        Permission("publish", f"{api}.STREAM.MSG.GET.KV_{name}", "reading the state, direct access off"),
        Permission("publish", f"$KV.{name}.>", "writing the state"),
    ]
    if create:
        found.append(Permission("publish", f"{api}.STREAM.CREATE.KV_{name}", "creating the bucket"))
    return found


def needed_for_rules(settings: Settings, bucket: str, *, write: bool = False) -> list[Permission]:
    """What rules in a key-value bucket need, beside the service's own; ``write``: to push them."""
    api = f"$JS.{settings.jetstream_domain}.API" if settings.jetstream_domain else "$JS.API"
    inbox = Permission("subscribe", f"{settings.inbox_prefix}.>", "answers")
    if write:
        return [*_bucket(api, bucket, settings.manage_streams), inbox]
    reading = [one for one in _bucket(api, bucket, create=False) if not one.subject.startswith("$KV.")]
    status = Permission("publish", f"$KV.{bucket}.status.>", "writing what became of the rules")
    return [*reading, status, inbox]


def needed_to_read(settings: Settings, stream: str, durable: str | None) -> list[Permission]:
    """What a subscriber of `engine.client` needs; a live one (no durable name) makes consumers of its own."""
    api = f"$JS.{settings.jetstream_domain}.API" if settings.jetstream_domain else "$JS.API"
    consumer = durable or "*"
    found = [
        Permission("publish", f"{api}.STREAM.INFO.{stream}", "where the stream ends"),
        Permission("publish", f"{api}.CONSUMER.CREATE.{stream}.{consumer}.>", "the consumer"),
        Permission("publish", f"{api}.CONSUMER.MSG.NEXT.{stream}.{consumer}", "reading"),
    ]
    if durable is not None:
        found += [
            Permission("publish", f"{api}.CONSUMER.INFO.{stream}.{consumer}", "the place kept"),
            Permission("publish", f"{api}.CONSUMER.RESET.{stream}.{consumer}", "reading in order"),
            Permission("publish", f"{_ACK}{stream}.{consumer}.>", "acknowledging"),
        ]
    return [*found, Permission("subscribe", f"{settings.inbox_prefix}.>", "answers")]


def needed_to_read_again(settings: Settings) -> list[Permission]:
    """What reading the stored input from its beginning needs, beside what the service has: a consumer that
    lives for one question and is named by the server.
    """
    api = f"$JS.{settings.jetstream_domain}.API" if settings.jetstream_domain else "$JS.API"
    stream = settings.input_stream
    return [
        Permission("publish", f"{api}.STREAM.INFO.{stream}", "what the stream holds"),
        Permission("publish", f"{api}.CONSUMER.CREATE.{stream}", "the consumer"),
        Permission("publish", f"{api}.CONSUMER.INFO.{stream}.*", "whether something is left to read"),
        Permission("publish", f"{api}.CONSUMER.MSG.NEXT.{stream}.*", "reading"),
        Permission("publish", f"{api}.CONSUMER.DELETE.{stream}.*", "removing the consumer"),
        Permission("subscribe", f"{settings.inbox_prefix}.>", "answers"),
    ]


def fill_consumer(settings: Settings) -> str:
    """The name of the consumer through which rules are filled beside the service."""
    return f"{settings.consumer}-fill"


def needed_to_fill(settings: Settings) -> list[Permission]:
    """What filling new rules while the service runs needs, beside what the service has."""
    api = f"$JS.{settings.jetstream_domain}.API" if settings.jetstream_domain else "$JS.API"
    stream, consumer = settings.input_stream, fill_consumer(settings)
    return [
        Permission("publish", f"{api}.STREAM.INFO.{stream}", "what the stream holds"),
        Permission("publish", f"{api}.CONSUMER.CREATE.{stream}.{consumer}", "the consumer"),
        Permission("publish", f"{api}.CONSUMER.MSG.NEXT.{stream}.{consumer}", "reading"),
        Permission(
            "publish", f"{api}.CONSUMER.INFO.{stream}.{consumer}", "whether something is left to read"
        ),
        Permission("publish", f"{api}.CONSUMER.DELETE.{stream}.{consumer}", "removing the consumer"),
        Permission("subscribe", f"{settings.inbox_prefix}.>", "answers"),
    ]


class Refusal(msgspec.Struct, frozen=True):
    """What the server did not allow."""

    what: str
    """Such as ``publish to "alerts.>"``."""
    is_answer: bool
    """It was sent to a subject that somebody else chose."""


def refusal(error: str, known: list[Permission]) -> Refusal | None:
    """The refusal that the server's error tells of; None for another error.

    What is missing is named in the form that the server looked at.
    """
    violation = _VIOLATION.search(error)
    if violation is None:
        return None
    verb: Verb = "publish" if violation[1].lower() == "publish" else "subscribe"
    subject = violation[2]
    forms = (form for p in known if p.verb == verb for form in _forms(p.subject))
    entry = next((form for form in forms if _covers(form, subject)), None)
    answers = any(p.subject == "$SRV.>" for p in known)
    return Refusal(
        what=f'{verb} to "{entry or subject}"',
        is_answer=entry is None and verb == "publish" and answers,
    )


def _forms(subject: str) -> Iterator[str]:
    """A permission, and the forms of it that a server may look at instead.

    Measured with nats-server 2.15.1: a server of the domain itself takes ``$JS.<domain>.API`` for ``$JS.API``
    before it looks at permissions, and one that reaches the domain through a leaf node does not. With the
    feature flag ``js_ack_fc_v2``, domain and account stand before the stream in what is acknowledged.
    """
    yield subject
    tokens = subject.split(".")
    if tokens[0] == "$JS" and tokens[2:3] == ["API"]:
        yield ".".join(["$JS", *tokens[2:]])
    elif subject.startswith(_ACK):
        yield f"{_ACK}*.*.{subject.removeprefix(_ACK)}"


def _covers(pattern: str, subject: str) -> bool:
    """Whether ``subject``, in whatever case, and with whatever wildcards of its own, matches ``pattern``."""
    wanted, given = pattern.lower().split("."), subject.lower().split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return position < len(given)
        if position >= len(given) or token not in ("*", given[position]):
            return False
    return len(wanted) == len(given)
