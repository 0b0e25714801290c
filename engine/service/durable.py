"""The durable pull consumer on the input stream: what it must be, and creating it.

Ack-all: one acknowledgement settles everything before it, which fits messages
that are processed strictly in order. No filter: with one, the server is slow
when there are many subjects.
"""

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from engine.service.errors import ServiceError
from engine.service.settings import Settings

# Long, because a reset at every start redelivers sooner, and a redelivery while we live is only skipped.
_ACK_WAIT_SECONDS = 300.0


async def ensure_consumer(jetstream: JetStreamContext, settings: Settings) -> ConsumerInfo:
    """The durable consumer as the server has it, created when it is missing.

    Raises `ServiceError` when one of that name exists that would lose or reorder messages.
    """
    info = await find_consumer(jetstream, settings)
    if info is None:
        info = await _create(jetstream, settings)
    config = info.config
    named = f"Consumer {settings.consumer} of stream {settings.input_stream}"
    if config.ack_policy != AckPolicy.ALL or config.deliver_policy != DeliverPolicy.ALL:
        raise ServiceError(
            f"{named} exists, but not with ack policy all and deliver policy all; delete it or set another "
            "consumer name."
        )
    if config.deliver_subject or config.filter_subject or config.filter_subjects:
        raise ServiceError(
            f"{named} exists with a filter or as a push consumer; delete it or set another consumer name."
        )
    if 0 < (config.max_ack_pending or 0) < 4 * settings.pull_batch:
        raise ServiceError(
            f"{named} has max_ack_pending {config.max_ack_pending}, below four times pull_batch "
            f"({settings.pull_batch})."
        )
    return info


async def find_consumer(jetstream: JetStreamContext, settings: Settings) -> ConsumerInfo | None:
    """The consumer as the server has it; None if it has none."""
    try:
        info: ConsumerInfo = await jetstream.consumer_info(settings.input_stream, settings.consumer)
    except NotFoundError:
        return None
    return info


async def note_at_consumer(
    jetstream: JetStreamContext, settings: Settings, name: str, text: str | None
) -> None:
    """Write a text into the consumer's metadata, or remove it; what is acknowledged stays as it is.

    A consumer that is missing is created with it. Raises as `ensure_consumer`.
    """
    found = await find_consumer(jetstream, settings)
    if found is None:
        await _create(jetstream, settings, {} if text is None else {name: text})
        return
    # The server adds facts of its own, which it makes anew.
    kept = {k: v for k, v in (found.config.metadata or {}).items() if not k.startswith("_nats") and k != name}
    if text is not None:
        kept[name] = text
    await jetstream.add_consumer(settings.input_stream, found.config.evolve(metadata=kept))


async def _create(
    jetstream: JetStreamContext, settings: Settings, metadata: dict[str, str] | None = None
) -> ConsumerInfo:
    config = ConsumerConfig(
        name=settings.consumer,
        durable_name=settings.consumer,
        description="thenwire",
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.ALL,
        ack_wait=_ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=settings.max_ack_pending,
        metadata=metadata,
    )
    try:
        info: ConsumerInfo = await jetstream.add_consumer(settings.input_stream, config)
        return info
    except APIError as error:
        reason = (error.description or f"error {error.code}").rstrip(".")
        raise ServiceError(
            f"Consumer {settings.consumer} of stream {settings.input_stream} cannot be created: {reason}."
        ) from None
