"""``thenwire run`` as a process, started as the comments of nats-users.conf say, with the users in it.

It works with what the file allows. With one permission less, it ends with exit code 2 and names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from broker import Broker
from documented_users import (
    FILE,
    MESSAGES,
    RULES,
    TEXT,
    command_line,
    has_done_everything,
    lacks,
    listed,
    operated,
    without,
    without_options,
)
from service_program import Program

from engine.service.permissions import Permission, needed, needed_to_read_again
from engine.service.settings import Settings

_DOCUMENTED: Final = command_line("thenwire")
_SERVICE: Final = listed("thenwire")
_QUICK: Final = ("--checkpoint-interval", "50ms", "--log-format", "console")
# The state in a file, no requests answered, no OCSF: the fewest that a service can do with.
_PLAIN: Final = ("run", "--verify-streams", "--inbox-prefix", "_INBOX_thenwire")
_LEAST: Final = without_options("--state kv:THENWIRE", "--endpoints", "--ocsf")
_PATIENCE_SECONDS: Final = 60


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("thenwire", "producer", "pager", "operator"):
        monkeypatch.setenv(f"{name.upper()}_PASSWORD", f"{name}-secret")


async def _has_worked(program: Program, client: Any, alerts: tuple[str, ...] = ("ALERTS", "OCSF")) -> None:
    """Return when it has needed everything."""
    while not await has_done_everything(client, alerts):
        assert not program.has_ended, program.said
        await asyncio.sleep(0.02)


class Case:
    """One server, one service."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self._binary = binary
        self._directory = directory
        self._home = directory / "service"

    def _write_context(self, domain: str) -> None:
        """One of the NATS command-line client with its name; there is no other way to give a domain."""
        folder = self._home / ".config" / "nats" / "context"
        folder.mkdir(parents=True)
        (folder / f"{domain}.json").write_text(f'{{"jetstream_domain": "{domain}"}}')

    def play(
        self,
        configuration: str,
        arguments: Sequence[str],
        scenario: Callable[[Program, Any], Awaitable[None]],
        *,
        direct: bool = True,
        streams: bool = True,
        domain: str | None = None,
    ) -> str:
        """What it has said, after the scenario with it and the operator's connection."""
        rules = self._directory / "some.rule"
        rules.write_text(RULES)

        async def inside() -> str:
            with Broker(self._binary, self._directory / "nats", configuration, domain=domain) as broker:
                words = [*arguments, "--servers", broker.url, *_QUICK]
                words += [] if "--rules" in arguments else ["--rules", str(rules)]
                async with (
                    asyncio.timeout(_PATIENCE_SECONDS),
                    operated(broker, direct=direct, streams=streams) as client,
                ):
                    if domain is not None:
                        self._write_context(domain)
                    login = {"NATS_USER": "thenwire", "NATS_PASSWORD": "thenwire-secret"}
                    with Program(words, self._home, login) as program:
                        await scenario(program, client)
                        return program.said

        return asyncio.run(inside())

    def works(self, configuration: str, arguments: Sequence[str], **more: Any) -> str:
        alerts = ("ALERTS", "OCSF") if "--ocsf" in arguments else ("ALERTS",)

        async def scenario(program: Program, client: Any) -> None:
            await _has_worked(program, client, alerts)
            assert await program.stopped() == 0, program.said
            assert f"acknowledged up to {len(MESSAGES) + 1}" in program.said

        return self.play(configuration, arguments, scenario, **more)

    def ends(self, configuration: str, arguments: Sequence[str], removed: Permission, **more: Any) -> None:
        async def scenario(program: Program, client: Any) -> None:
            del client
            assert await program.ended() == 2, program.said
            last = program.said.strip().splitlines()[-1]
            assert last == f"thenwire: {lacks(removed)}", program.said
            assert "Traceback" not in program.said

        self.play(configuration, arguments, scenario, **more)


@pytest.fixture
def case(server_binary: Path, tmp_path: Path) -> Case:
    return Case(server_binary, tmp_path)


def _direct(removed: Permission) -> dict[str, Any]:
    """Whether the bucket of the state allows direct access decides which of two permissions is needed."""
    return {"direct": "MSG.GET" not in removed.subject}


@pytest.mark.parametrize("direct", [True, False], ids=["direct access", "no direct access"])
def test_the_documented_service_works(case: Case, direct: bool) -> None:
    said = case.works(TEXT, _DOCUMENTED, direct=direct)
    assert "permission" not in said.lower()


@pytest.mark.parametrize("removed", _SERVICE, ids=lambda p: f"{p.verb} {p.subject}")
def test_the_documented_service_names_what_is_missing(case: Case, removed: Permission) -> None:
    case.ends(without("thenwire", removed), _DOCUMENTED, removed, **_direct(removed))


def test_a_service_with_its_state_in_a_file_needs_fewer(case: Case) -> None:
    fewest = listed("thenwire", _LEAST)
    asked = Settings(manage_streams=False, inbox_prefix="_INBOX_thenwire")
    assert {(p.verb, p.subject) for p in fewest} == {(p.verb, p.subject) for p in needed(asked)}
    said = case.works(_LEAST, _PLAIN)
    assert "permission" not in said.lower()


_ACKNOWLEDGE = next(p for p in _SERVICE if p.subject.startswith("$JS.ACK"))


@pytest.mark.parametrize(
    "removed",
    [p for p in listed("thenwire", _LEAST) if p.subject in ("alerts.>", _ACKNOWLEDGE.subject)],
    ids=lambda p: f"{p.verb} {p.subject}",
)
def test_it_names_what_is_missing_too(case: Case, removed: Permission) -> None:
    """Those that are needed late: the alert, and what follows the stored state."""
    case.ends(without("thenwire", removed, _LEAST), _PLAIN, removed)


def _users(permissions: Sequence[Permission]) -> str:
    """A configuration with a user who may do just that, and the operator."""
    lines = {
        verb: "\n".join(f'          "{p.subject}" # {p.purpose}' for p in permissions if p.verb == verb)
        for verb in ("publish", "subscribe")
    }
    return (
        "authorization {\n  users = [\n    {\n      user: thenwire\n      password: $THENWIRE_PASSWORD\n"
        f"      permissions: {{\n        publish: {{ allow: [\n{lines['publish']}\n        ] }}\n"
        f"        subscribe: {{ allow: [\n{lines['subscribe']}\n        ] }}\n      }}\n    }}\n"
        "    { user: operator, password: $OPERATOR_PASSWORD }\n  ]\n}\n"
    )


_DOMAIN: Final = (*_PLAIN, "--state", "kv:THENWIRE")
_MAKING: Final = ("run", "--inbox-prefix", "_INBOX_thenwire", "--state", "kv:THENWIRE")
_TO_MAKE: Final = needed(
    Settings(manage_streams=True, inbox_prefix="_INBOX_thenwire", state="kv:THENWIRE", tick_after=5.0)
)


def test_a_service_may_make_its_streams_and_its_bucket(case: Case) -> None:
    # The bucket that it makes allows no direct access.
    assert "created stream ALERTS" in case.works(_users(_TO_MAKE), _MAKING, streams=False)


@pytest.mark.parametrize(
    "removed",
    [p for p in _TO_MAKE if "STREAM.CREATE" in p.subject and not p.subject.endswith("EVENTS")],
    ids=lambda p: p.subject,
)
def test_it_names_the_stream_that_it_may_not_make(case: Case, removed: Permission) -> None:
    case.ends(_users([p for p in _TO_MAKE if p is not removed]), _MAKING, removed, streams=False)


# Named in this form, and looked at without the domain by a server of the domain.
_IN_DOMAIN: Final = [
    msgspec.structs.replace(p, subject=p.subject.replace("$JS.hub.API", "$JS.API"))
    for p in needed(
        Settings(
            manage_streams=False,
            inbox_prefix="_INBOX_thenwire",
            state="kv:THENWIRE",
            endpoints=True,
            jetstream_domain="hub",
        )
    )
]
_HUB: Final = (*_DOMAIN, "--endpoints", "--context", "hub")


def test_a_service_in_a_domain_works(case: Case) -> None:
    case.works(_users(_IN_DOMAIN), _HUB, domain="hub")


@pytest.mark.parametrize(
    "removed",
    [p for p in _IN_DOMAIN if p.subject.startswith(("$JS.API.CONSUMER.MSG", "$JS.ACK"))],
    ids=lambda p: p.subject,
)
def test_a_service_in_a_domain_names_what_is_missing(case: Case, removed: Permission) -> None:
    case.ends(_users([p for p in _IN_DOMAIN if p is not removed]), _HUB, removed, domain="hub")


_LONG_ACKS: Final = "feature_flags { js_ack_fc_v2: true }\n"
"""A flag of the server with which acknowledgements name domain and account, too."""
_LONG: Final = Permission("publish", "$JS.ACK.*.*.EVENTS.thenwire.>", "acknowledging the input")


def test_long_acknowledgements_are_named_as_such(case: Case) -> None:
    case.ends(_LONG_ACKS + _users(_IN_DOMAIN), _HUB, _LONG, domain="hub")


def test_long_acknowledgements_need_that_and_not_the_short(case: Case) -> None:
    allowed = [_LONG, *(p for p in _IN_DOMAIN if not p.subject.startswith("$JS.ACK"))]
    case.works(_LONG_ACKS + _users(allowed), _HUB, domain="hub")


_TO_LOOK_BACK: Final = [p for p in needed_to_read_again(Settings()) if "CONSUMER" in p.subject]
_QUESTION: Final = b'{"rule": "flow then crash", "device": "d1"}'


def _ask_why(case: Case, allowed: Sequence[Permission]) -> tuple[str, bytes]:
    """The error and the answer to a question about the past."""
    answers: list[tuple[str, bytes]] = []

    async def scenario(program: Program, client: Any) -> None:
        await _has_worked(program, client)
        answer = await client.request("thenwire.api.thenwire.why", _QUESTION, timeout=40)
        answers.append(((answer.headers or {}).get("Nats-Service-Error", ""), answer.data))
        # Whatever became of the question, the service goes on.
        assert await program.stopped() == 0, program.said

    lines = "".join(f'          "{p.subject}" # {p.purpose}\n' for p in allowed)
    first = '          "$JS.ACK.EVENTS.thenwire.>"'
    case.play(TEXT.replace(first, lines + first, 1), _DOCUMENTED, scenario)
    return answers[0]


def test_questions_about_the_past_are_answered_with_what_the_page_lists(case: Case) -> None:
    page = (FILE.parents[1] / "how-to" / "operate.md").read_text("utf-8")
    assert [p.subject for p in _TO_LOOK_BACK if f"`{p.subject}`" not in page] == []
    error, answer = _ask_why(case, _TO_LOOK_BACK)
    assert error == ""
    assert len(msgspec.json.decode(answer)["alerts"]) == 1


@pytest.mark.parametrize(
    # Whether something is left is only asked after a pause.
    "removed",
    [p for p in _TO_LOOK_BACK if "INFO" not in p.subject],
    ids=lambda p: p.subject,
)
def test_who_asks_is_told_which_permission_is_missing(case: Case, removed: Permission) -> None:
    assert _ask_why(case, [p for p in _TO_LOOK_BACK if p is not removed]) == (lacks(removed), b"")


def test_an_answer_that_may_not_be_sent_is_a_line_in_the_log(case: Case) -> None:
    async def scenario(program: Program, client: Any) -> None:
        await _has_worked(program, client)
        await client.publish("thenwire.api.thenwire.status", b"", reply="_INBOX.somebody")
        await program.says('an answer could not be sent: this user may not publish to "_inbox.somebody"')
        assert await program.stopped() == 0, program.said

    case.play(TEXT.replace("allow_responses: true", ""), _DOCUMENTED, scenario)
