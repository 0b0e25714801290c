"""Makes docs/pictures/alert.svg: the first alert of `thenwire demo`, as a terminal shows it.

Run it from the checkout after a change of what an alert says: `python docs/make_pictures.py`.
"""

import re
import sys
from io import StringIO
from pathlib import Path

import msgspec
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dsl  # noqa: E402
from engine.alerts import Alert  # noqa: E402
from engine.cli.show import alert_panel  # noqa: E402
from engine.demo import scenario  # noqa: E402
from engine.matcher import Matcher  # noqa: E402

PICTURE = ROOT / "docs" / "pictures" / "alert.svg"
COLUMNS = 110


def first_alert() -> Alert:
    """The first alert of the demo's synthetic events, at the times that the scenario gives them.

    Raises:
        LookupError: there is none, which the tests of the rule pack would have found.
    """
    matcher = Matcher(dsl.load([ROOT / "rules" / "mobile"]))
    for event in scenario.events():
        for alert in matcher.feed_json(msgspec.json.encode(event)):
            return alert
    raise LookupError("the demo's scenario gives no alert")


_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def draw(alert: Alert) -> str:
    """The alert as SVG. The same alert gives the same text.

    Without the web font that rich names: a picture of the documentation fetches nothing.
    """
    console = Console(
        record=True, file=StringIO(), width=COLUMNS, force_terminal=True, color_system="truecolor"
    )
    console.print(alert_panel(alert))
    picture = console.export_svg(title="thenwire demo", unique_id="thenwire-alert")
    return _FONT_FACE.sub("", picture).replace("Fira Code, monospace", "monospace")


def main() -> int:
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(first_alert()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
