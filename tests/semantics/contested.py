"""Cases in which what comes late takes something back.

Of rules and orders drawn blindly few ever close an alert. Here the rules are short and each has
something that late evidence can void, complete or better; they match often. Some of the events are
held back to the end.
"""

from __future__ import annotations

from random import Random

from generate import DECLARATIONS, Case, event_list
from generate_chains import LAST, OUTER
from inputs import Placed

PATTERNS = (
    "alpha THEN beta WITHIN {w}",
    "alpha THEN beta WITHOUT gamma WITHIN {w}",
    "alpha AS s THEN beta [x == s.x] WITHOUT gamma [x != s.x] WITHIN {w}",
    "alpha AS s THEN beta WITHOUT gamma [x == s.x] THEN alpha WITHIN {w}",
    "alpha THEN WITHIN {d} beta THEN BETWEEN 1ms AND {w} alpha",
    "alpha THEN AFTER 2ms beta WITHOUT gamma WITHIN {w}",
    "alpha THEN beta WITHOUT gamma FOR {d} WITHIN {w}",
    "alpha THEN NO gamma FOR {d}",
    "alpha AS s THEN NO gamma [x == s.x] FOR {d}",
    "(alpha THEN beta WITHIN {w}) THEN NO gamma FOR {d}",
    "beta THEN NO gamma FOR {d} THEN alpha WITHIN {w}",
    "NO gamma FOR {d} THEN alpha",
    "NO gamma FOR {d} THEN alpha THEN beta WITHIN {w}",
    "AT LEAST 2 beta IN {d}",
    "AT LEAST 3 either IN {w} AS xs",
    "AT LEAST 2 DISTINCT x OF beta IN {w}",
    "AT LEAST 3 SUM x OF beta IN {w}",
    "alpha THEN AT LEAST 2 beta IN {d} WITHOUT gamma WITHIN {w}",
    "AT LEAST 2 beta IN {d} AS xs THEN alpha [x IN xs.x] WITHOUT gamma WITHIN {w}",
    "AT LEAST 2 beta IN {d} THEN NO gamma FOR {d}",
    "ALL OF (alpha, beta) WITHIN {w}",
    "alpha THEN ALL OF (beta, gamma) WITHIN {w}",
    "ALL OF (alpha THEN beta WITHOUT gamma, alpha [x == 2]) WITHIN {w}",
    "ANY 2 OF (alpha, beta, beta [x == 1]) WITHIN {d}",
    "alpha THEN ONE OF (beta, NO gamma FOR {d}) WITHIN {w}",
    "ONE OF (alpha THEN beta WITHOUT gamma, beta THEN alpha) WITHIN {w}",
    "(alpha THEN beta WITHIN {d}) THEN alpha WITHOUT gamma WITHIN {w}",
)
VETOES = (
    "",
    "",
    "UNLESS gamma",
    "UNLESS gamma [y] WITHIN {d} BEFORE",
    "UNLESS beta [x MISSING] WITHIN {d} BEFORE",
)
SELECTS = ("", "", "SELECT FIRST", "SELECT EACH")


def contested(random: Random, chains: bool = False) -> tuple[Case, list[Placed]]:
    """A case and an order of arrival: most of the events, then those held back.

    Args:
        chains: half the time a second rule reads the alerts of the first, sometimes a third those of
            the second. The first is then called ``inner``.
    """
    head = random.choice(("", "", "BY device, app "))
    parts = (random.choice(PATTERNS), random.choice(VETOES), random.choice(SELECTS))
    sizes = {"w": f"{random.randint(4, 14)}ms", "d": f"{random.randint(1, 6)}ms"}
    pattern, veto, select = (part.format(**sizes) for part in parts)
    body = f"{head}WHEN {pattern} {veto} {select}"
    declarations = DECLARATIONS
    for kind in ("alpha", "beta", "gamma"):
        if random.randrange(2):
            grace = f"GRACE {random.choice([0, 2, 5])}ms "
            declarations = declarations.replace(f"EVENT {kind} ", f"EVENT {kind} {grace}")
    if chains and random.randrange(2):
        outer = random.choice(OUTER)
        by = head if outer.startswith(("WHEN ALERT", "WHEN AT LEAST 2 ALERT")) else ""
        text = f"{declarations}RULE inner {{ {body} }}\nRULE r {{ {by}{outer} }}\n"
        if not random.randrange(3):
            text += f"RULE last {{ {random.choice(LAST)} }}\n"
    else:
        text = f"{declarations}RULE r {{ {body} }}\n"
    case = Case(text, event_list(random))
    late = [pair for pair in case.in_order() if not random.randrange(4)]
    early = [pair for pair in case.in_order() if pair not in late]
    for order in (early, late):
        if not random.randrange(3):
            random.shuffle(order)
    return case, early + late
