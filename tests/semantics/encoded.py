"""Prints a digest of the alerts of many seeded cases; a child process of test_properties.py.

python encoded.py COUNT
"""

import hashlib
import sys
from pathlib import Path
from random import Random

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from generate import DECLARATIONS, Case, Events, random_case  # noqa: E402 - the path comes first
from running import feed, flat, runnable  # noqa: E402

import engine  # noqa: E402

KEYS = "klmnopqrst"
"""Random cases seldom complete several keys at one event, where an order by hash would show."""
several_keys: Events = [
    ({"kind": "alpha", "device": "d1", "time": 100 + place, "id": f"e{place}", "app": key}, place)
    for place, key in enumerate(KEYS)
]
several_keys.append(({"kind": "gamma", "device": "d1", "time": 120, "id": "last"}, 20))
at_once = Case(DECLARATIONS + "RULE r { BY device, app WHEN alpha THEN gamma WITHIN 1s }", several_keys)

digest = hashlib.sha256()
written = 0
for alert in flat(feed(at_once.ruleset, at_once.events)):
    digest.update(engine.encode(alert))
    written += 1
for seed in range(int(sys.argv[1])):
    random = Random(seed)
    case = random_case(random)
    ruleset = case.ruleset
    if runnable(ruleset):
        arrival = case.in_order()
        random.shuffle(arrival)
        for alert in flat(feed(ruleset, arrival)):
            digest.update(engine.encode(alert))
            written += 1
print(written, digest.hexdigest())
