"""``thenwire run --warm`` as a user with least privilege: rules that change are filled with the past. Without
one of the permissions for it, the service names it, and the rules begin cold.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from documented_users import FILE, MESSAGES, RULES, TEXT, command_line
from service_program import Program
from test_permissions_process import Case

from engine.service.permissions import Permission, needed_to_fill
from engine.service.settings import Settings

_DOCUMENTED: Final = (*command_line("thenwire"), "--warm", "48h")
_TO_FILL: Final = [p for p in needed_to_fill(Settings()) if "CONSUMER" in p.subject]
_NEW: Final = "RULE crash then flow { BY device, app WHEN crash THEN flow WITHIN 2h SEVERITY high }\n"


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("thenwire", "producer", "pager", "operator"):
        monkeypatch.setenv(f"{name.upper()}_PASSWORD", f"{name}-secret")


@pytest.fixture
def case(server_binary: Path, tmp_path: Path) -> Case:
    return Case(server_binary, tmp_path)


def _reload(case: Case, rules: Path, allowed: list[Permission]) -> str:
    """What a service says that may do this beside what it needs, and whose rules change."""

    async def scenario(program: Program, client: Any) -> None:
        await program.says("running 2 rules")
        await client.jetstream().publish("events.x", msgspec.json.encode(MESSAGES[2]))
        await asyncio.to_thread(rules.write_text, RULES + _NEW)
        await program.says(" in force after sequence ")
        assert await program.stopped() == 0, program.said

    lines = "".join(f'          "{p.subject}" # {p.purpose}\n' for p in allowed)
    first = '          "$JS.ACK.EVENTS.thenwire.>"'
    return case.play(TEXT.replace(first, lines + first, 1), _DOCUMENTED, scenario)


def test_with_what_the_pages_list_they_are_filled(case: Case, tmp_path: Path) -> None:
    page = (FILE.parent / "nats.md").read_text("utf-8")
    assert [p.subject for p in _TO_FILL if f"`{p.subject}`" not in page or p.subject not in TEXT] == []
    said = _reload(case, tmp_path / "some.rule", _TO_FILL)
    assert "1 rule filled with the " in said
    assert "permission" not in said.lower()


@pytest.mark.parametrize(
    # Whether something is left is only asked after a pause.
    "removed",
    [p for p in _TO_FILL if "INFO" not in p.subject],
    ids=lambda p: p.subject,
)
def test_without_one_it_is_named_and_they_begin_cold(case: Case, tmp_path: Path, removed: Permission) -> None:
    said = _reload(case, tmp_path / "some.rule", [p for p in _TO_FILL if p is not removed])
    assert (
        "are not filled with the past: The NATS user lacks a permission: "
        f'{removed.verb} to "{removed.subject}". They begin cold.'
    ) in said
    assert "1 new" in said
    assert "1 rule filled" not in said
