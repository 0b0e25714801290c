"""``baseline show --server``: the histories that a running service gives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from engine.cli.common import UsageError
from engine.explain.history import History
from engine.service.errors import SettingsError

# What needs a NATS client is imported when it is used: other commands start faster without.

PATIENCE_SECONDS = 60.0
"""The service reads its stream first."""


def asked(
    server: str, consumer: str | None, wanted: dict[str, str], baselines: Sequence[str], since: str | None
) -> tuple[list[History], int]:
    """The histories, and how many keys are left out.

    Raises:
        ServiceError: no server, no service, or it refused.
        UsageError: the login in the environment is of no use.
    """
    from engine.service.operations.answers import BaselineAnswer, BaselineRequest
    from engine.service.operations.asking import Asking
    from engine.service.serve import run_loop
    from engine.service.settings import load_settings

    given: dict[str, Any] = {"servers": server}
    if consumer is not None:
        given["consumer"] = consumer
    try:
        settings = load_settings(given, os.environ)
    except SettingsError as error:
        raise UsageError(str(error)) from None
    key = {field: value for field, value in wanted.items() if field != "device"}
    request = BaselineRequest(wanted["device"], key, list(baselines), since)

    async def ask() -> BaselineAnswer:
        async with Asking(settings) as asking:
            return await asking.ask("baseline", request, BaselineAnswer, PATIENCE_SECONDS)

    answer = run_loop(ask())
    return answer.histories, answer.left
