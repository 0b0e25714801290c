"""Prints a digest of the alerts of many seeded cases; a child process of test_properties.py.

python encoded.py COUNT
"""

import hashlib
import sys
from pathlib import Path
from random import Random

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from generate import random_case  # noqa: E402 - the path comes first
from running import feed, flat, runnable  # noqa: E402

import engine  # noqa: E402

digest = hashlib.sha256()
written = 0
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
