"""Which class an end belongs to."""

import pytest

from engine.sources.exit_class import (
    BUG_TYPES,
    CLASSES,
    EXCEPTIONS,
    KILL_CODES,
    NAMESPACES,
    SIGNALS,
    ExitFacts,
    exit_class,
)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (ExitFacts("309", "EXC_BAD_ACCESS", "SIGSEGV", "SIGNAL", (11,)), "memory_violation"),
        (ExitFacts("309", "EXC_BAD_ACCESS", "SIGBUS"), "memory_violation"),
        (ExitFacts("309", "EXC_CRASH", "SIGSEGV"), "memory_violation"),
        (ExitFacts("309", "EXC_BAD_INSTRUCTION", "SIGILL"), "bad_instruction"),
        (ExitFacts("309", "EXC_BREAKPOINT", "SIGTRAP"), "bad_instruction"),
        (ExitFacts("309", "EXC_GUARD", "SIGKILL"), "guard"),
        (ExitFacts("309", "EXC_CRASH", "SIGKILL", "GUARD"), "guard"),
        (ExitFacts("309", "EXC_CRASH", "SIGKILL", "SANDBOX"), "sandbox"),
        (ExitFacts("309", "EXC_CRASH", "SIGKILL", "CODESIGNING", (2,)), "codesign"),
        (ExitFacts("309", "EXC_BAD_ACCESS", "SIGKILL", "CODESIGNING", (2,)), "codesign"),
        (ExitFacts("109", "EXC_CRASH", None, invalid_signature=True), "codesign"),
        (ExitFacts("309", "EXC_CRASH", "SIGABRT", "DYLD", (1,)), "codesign"),
        (ExitFacts("309", "EXC_CRASH", "SIGABRT", "SIGNAL", (6,)), "abort"),
        (ExitFacts("309", "EXC_CRASH", "SIGKILL", "FRONTBOARD", (0x8BADF00D,)), "watchdog"),
        (ExitFacts("109", "EXC_CRASH", "SIGKILL", "SPRINGBOARD", (0x8BADF00D,)), "watchdog"),
        (ExitFacts("109", "00000020", None, None, (0x8BADF00D,)), "watchdog"),
        (ExitFacts("309", "EXC_CRASH", "SIGKILL", "RUNNINGBOARD", (0xDEAD10CC,)), "resource"),
        (ExitFacts("309", "EXC_CRASH", "SIGKILL", "FRONTBOARD", (0xC00010FF,)), "resource"),
        (ExitFacts("309", "EXC_RESOURCE", "SIGKILL"), "resource"),
        (ExitFacts("309", "EXC_CRASH", "SIGKILL", "FRONTBOARD", (0xDEADFA11,)), "user_reset"),
        (ExitFacts("109", "EXC_CRASH", "SIGKILL", None, (0xBAAAAAAD,)), "not_an_exit"),
        (ExitFacts("309", "EXC_CRASH", "SIGKILL", "FRONTBOARD", (0x1234,)), "unknown"),
        (ExitFacts("309", "EXC_ARITHMETIC", "SIGFPE"), "unknown"),
        (ExitFacts("309"), "unknown"),
        (ExitFacts("385", "EXC_BAD_ACCESS", "SIGSEGV"), "memory_violation"),
        (ExitFacts("9999"), "unknown"),
        (ExitFacts("151"), "user_reset"),
        (ExitFacts("210", panic_text="panic(cpu 1): Kernel data abort"), "panic"),
        (ExitFacts("210", panic_text="panic(cpu 1): btn_rst"), "user_reset"),
        (ExitFacts("210"), "panic"),
        (ExitFacts("309", "EXC_BAD_ACCESS", "SIGSEGV", panic_text="btn_rst"), "memory_violation"),
        (ExitFacts("288"), "not_an_exit"),
        (ExitFacts("206"), "resource"),
    ],
)
def test_class(facts: ExitFacts, expected: str) -> None:
    assert exit_class(facts) == expected


def test_a_process_cannot_hide_a_violation_behind_a_kill_code() -> None:
    facts = ExitFacts("309", "EXC_BAD_ACCESS", "SIGSEGV", None, (0x8BADF00D,))
    assert exit_class(facts) == "memory_violation"


def test_the_tables_name_known_classes() -> None:
    for table in (BUG_TYPES, EXCEPTIONS, KILL_CODES, NAMESPACES, SIGNALS):
        assert set(table.values()) <= CLASSES
