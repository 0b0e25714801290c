"""Why a process or a device stopped, from what an Apple diagnostic report says.

The classes, and which evidence stands for which, are those of the project's domain notes; bug types are the
numbers in the header of an .ips file. Kill codes: Apple, "EXC_CRASH (SIGKILL)" and Technical Note TN2151.
"""

import msgspec

CLASSES = frozenset(
    {
        "memory_violation",
        "bad_instruction",
        "guard",
        "sandbox",
        "codesign",
        "abort",
        "watchdog",
        "resource",
        "panic",
        "user_reset",
        "not_an_exit",
        "unknown",
    }
)

FORCE_RESET = "151"
PANIC = "210"
JETSAM = "298"
ANALYTICS = "211"

BUG_TYPES = {
    FORCE_RESET: "user_reset",
    PANIC: "panic",
    "288": "not_an_exit",  # stackshot
    ANALYTICS: "not_an_exit",
    "202": "resource",  # CPU use
    "206": "resource",  # CPU use, fatal
    "28": "watchdog",
}
"""Bug types that alone decide. 109 and 309 (a crash) and every type not listed are decided by their content;
298 (jetsam) is a picture of the memory of all processes and decided for each process."""

RESET_MARK = "btn_rst"
"""Stands in the panic text when a person held the buttons, also in reports filed as a panic."""

KILL_CODES = {
    0x8BADF00D: "watchdog",  # too slow to start, stop or answer
    0x2182BAD2: "watchdog",  # a background task took too long
    0x2182BAD3: "watchdog",  # a background URL session took too long
    0x2182BAD4: "watchdog",  # a background fetch took too long
    0xDEAD10CC: "resource",  # held a file lock while suspended
    0xC00010FF: "resource",  # the device was too hot
    0xBAD22222: "resource",  # a VoIP app was resumed too often
    0xC51BAD01: "resource",  # used too much CPU in the background
    0xC51BAD02: "resource",  # did not finish in its time in the background
    0xC51BAD03: "resource",  # did not finish while the device was busy
    0xDEADFA11: "user_reset",  # closed by the user
    0xBAAAAAAD: "not_an_exit",  # a picture of the system that the user asked for
}
"""Codes with which the system ends a process by its own decision."""

NAMESPACES = {
    "CODESIGNING": "codesign",
    "DYLD": "codesign",
    "SANDBOX": "sandbox",
    "GUARD": "guard",
    "JETSAM": "resource",
}
"""Part of the system that ended the process. DYLD: a library that is missing, or that may not be loaded."""

EXCEPTIONS = {
    "EXC_GUARD": "guard",
    "EXC_RESOURCE": "resource",
    "EXC_BAD_ACCESS": "memory_violation",
    "EXC_BAD_INSTRUCTION": "bad_instruction",
    "EXC_BREAKPOINT": "bad_instruction",
}

SIGNALS = {
    "SIGSEGV": "memory_violation",
    "SIGBUS": "memory_violation",
    "SIGILL": "bad_instruction",
    "SIGTRAP": "bad_instruction",
    "SIGABRT": "abort",
}
"""For EXC_CRASH, which says no more than that the process ended."""

SYSTEM_KILLS = (None, "EXC_CRASH", "00000020")
"""Exceptions under which a kill code is the reason. Under another, such as EXC_BAD_ACCESS, equal digits are
chance, or chosen by the process. 00000020 is how old systems wrote a watchdog kill."""


class ExitFacts(msgspec.Struct):
    """What a report says about an end."""

    bug_type: str = ""
    exception: str | None = None
    signal: str | None = None
    namespace: str | None = None
    codes: tuple[int, ...] = ()
    """The termination code and, in old reports, the exception codes."""
    invalid_signature: bool = False
    """The report says "Code Signature Invalid"."""
    panic_text: str | None = None


def exit_class(facts: ExitFacts) -> str:
    """One of CLASSES. "unknown" when nothing in the report decides: never a guess that a rule would count."""
    if facts.bug_type == PANIC and RESET_MARK in (facts.panic_text or ""):
        return "user_reset"
    decided = BUG_TYPES.get(facts.bug_type)
    if decided is not None:
        return decided
    # Before the exception: an invalid page shows as EXC_BAD_ACCESS, and is a matter of its signature.
    if facts.invalid_signature:
        return "codesign"
    if facts.namespace in NAMESPACES:
        return NAMESPACES[facts.namespace]
    if facts.exception in SYSTEM_KILLS:
        for code in facts.codes:
            if code in KILL_CODES:
                return KILL_CODES[code]
    if facts.exception in EXCEPTIONS:
        return EXCEPTIONS[facts.exception]
    return SIGNALS.get(facts.signal or "", "unknown")
