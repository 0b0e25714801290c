"""Lets the tests here import the oracle and the generator that lie beside them, and sets how many
examples a property tries: ``THENWIRE_EXAMPLES``, by default as many as a quick run affords.
``THENWIRE_NO_SHRINK`` stops at the first failing example, for mutations.py.
"""

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile(
    "semantics",
    max_examples=int(os.environ.get("THENWIRE_EXAMPLES", "300")),
    deadline=None,  # a shared machine stalls; no test here is about time
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    # Without a random seed of its own, a failure in the build can be repeated by anyone.
    derandomize="THENWIRE_EXAMPLES" not in os.environ,
    database=None,
    phases=[Phase.explicit, Phase.generate] if "THENWIRE_NO_SHRINK" in os.environ else list(Phase),
)
settings.load_profile("semantics")
