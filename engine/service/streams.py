"""The JetStream streams that the service reads and writes: create them, or check that they fit.

An existing stream is never altered. Its owner may have had reasons, so what
does not fit is said in a sentence and the service does not start.
"""

import logging

import msgspec
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from engine.service.errors import ServiceError
from engine.service.settings import Settings

_log = logging.getLogger("thenwire.service")


class StreamPlan(msgspec.Struct, frozen=True):
    """One stream as the service needs it. Durations in seconds; ``max_age`` 0 is for ever."""

    name: str
    subjects: tuple[str, ...]
    duplicate_window: float
    max_age: float
    purpose: str
    is_input: bool


def plan_streams(settings: Settings) -> list[StreamPlan]:
    """The streams of one service: input, alerts, dead letters; with ``ocsf`` also alerts in that form."""
    window = settings.duplicate_window
    plans = [
        StreamPlan(
            name=settings.input_stream,
            subjects=settings.input_subjects,
            duplicate_window=window,
            max_age=settings.input_max_age,
            purpose="telemetry events",
            is_input=True,
        ),
        StreamPlan(
            name=settings.alerts_stream,
            subjects=settings.alerts_subjects,
            duplicate_window=window,
            max_age=0.0,
            purpose="alerts",
            is_input=False,
        ),
        StreamPlan(
            name=settings.dead_letter_stream,
            subjects=settings.dead_letter_subjects,
            duplicate_window=window,
            max_age=settings.dead_letter_max_age,
            purpose="dead letters and late events",
            is_input=False,
        ),
    ]
    if settings.ocsf:
        plans.append(
            StreamPlan(
                name=settings.ocsf_stream,
                subjects=settings.ocsf_subjects,
                duplicate_window=window,
                max_age=0.0,
                purpose="alerts in the OCSF form",
                is_input=False,
            )
        )
    return plans


async def ensure_streams(jetstream: JetStreamContext, settings: Settings) -> None:
    """Create the streams that are missing if ``manage_streams`` allows it, and check all others.

    Raises `ServiceError` naming the stream, what is wrong and what to do.
    """
    for plan in plan_streams(settings):
        try:
            info = await jetstream.stream_info(plan.name)
        except NotFoundError:
            if not settings.manage_streams:
                raise ServiceError(
                    f"There is no stream {plan.name} for {plan.purpose}, and manage_streams is off: create "
                    f"it with the subjects {', '.join(plan.subjects)} and limits retention."
                ) from None
            await _create(jetstream, plan)
            continue
        except NatsTimeout:
            raise ServiceError(
                f"The server did not answer about stream {plan.name}: JetStream may be off, or this user may "
                f"not publish to $JS.API.STREAM.INFO.{plan.name}."
            ) from None
        except APIError as error:
            raise ServiceError(f"Stream {plan.name} cannot be inspected: {_reason(error)}.") from None
        verify_stream(plan, info.config)


def verify_stream(plan: StreamPlan, config: StreamConfig) -> None:
    """Check an existing stream against ``plan``; raises `ServiceError` if it does not fit."""
    # Declared as an enum, but the client leaves in what the server sent: a plain string.
    if config.retention is not None and config.retention != RetentionPolicy.LIMITS:
        retention = getattr(config.retention, "value", config.retention)
        raise ServiceError(
            f"Stream {plan.name} has {retention} retention, but thenwire needs limits retention: events must "
            "stay to be read again after a crash."
        )
    if config.no_ack:
        raise ServiceError(f"Stream {plan.name} gives no acknowledgements (no_ack), which loses messages.")
    copied = bool(config.mirror or config.sources)
    if not (plan.is_input and copied):
        for subject in plan.subjects:
            if not any(subject_covers(pattern, subject) for pattern in config.subjects or []):
                raise ServiceError(
                    f"Stream {plan.name} does not take in {subject}; its subjects are "
                    f"{', '.join(config.subjects or ['none'])}."
                )
    if not plan.is_input and config.duplicate_window < plan.duplicate_window:
        raise ServiceError(
            f"Stream {plan.name} has a duplicate window of {config.duplicate_window:g} s, shorter than "
            f"duplicate_window ({plan.duplicate_window:g} s): alerts could be stored twice after a crash."
        )


def subject_covers(pattern: str, subject: str) -> bool:
    """Whether everything that matches ``subject`` (which may have wildcards) also matches ``pattern``."""
    wanted = subject.split(".")
    for position, token in enumerate(pattern.split(".")):
        if token == ">":
            return position < len(wanted)
        if position >= len(wanted) or wanted[position] == ">":
            return False
        if token not in ("*", wanted[position]):
            return False
    return len(pattern.split(".")) == len(wanted)


async def _create(jetstream: JetStreamContext, plan: StreamPlan) -> None:
    config = StreamConfig(
        name=plan.name,
        description=f"thenwire: {plan.purpose}",
        subjects=list(plan.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        duplicate_window=plan.duplicate_window,
        max_age=plan.max_age,
    )
    try:
        await jetstream.add_stream(config)
    except NatsTimeout:
        raise ServiceError(
            f"Stream {plan.name} could not be created: no answer. This user may not publish to "
            f"$JS.API.STREAM.CREATE.{plan.name}; create the stream and set manage_streams to false."
        ) from None
    except APIError as error:
        raise ServiceError(f"Stream {plan.name} could not be created: {_reason(error)}.") from None
    _log.info("created stream %s for %s", plan.name, plan.purpose)


def _reason(error: APIError) -> str:
    if isinstance(error, ServiceUnavailableError) and not error.description:
        return "JetStream is not enabled for this server or account"
    return (error.description or f"error {error.code}").rstrip(".")
