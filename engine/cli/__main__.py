"""``python -m engine.cli`` is ``thenwire``."""

import sys

from engine.cli import main

sys.exit(main())
