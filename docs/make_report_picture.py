"""Makes docs/pictures/report.png: the report of the demo's made-up events in a browser, one alert open.

Run it from the checkout after a change of the page: `python docs/make_report_picture.py`. It needs Chromium
(see tests/report/chromium.py); where there is none it says so and changes nothing.
"""

import sys
import tempfile
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "report")]

from chromium import Chromium, find  # noqa: E402

from engine.cli import main as thenwire  # noqa: E402
from engine.demo import scenario  # noqa: E402

PICTURE = ROOT / "docs" / "pictures" / "report.png"
WIDTH, HEIGHT = 1240, 1560
OPENED = "tbody[data-device='synthetic-01']"


def draw() -> bytes:
    """The picture as PNG.

    Raises:
        LookupError: there is no browser.
    """
    browser = find()
    if browser is None:
        raise LookupError("no Chromium is on this machine")
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "demo.ndjson"
        events.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in scenario.events()))
        page = Path(folder) / "report.html"
        thenwire(["replay", str(events), "--rules", str(ROOT / "rules" / "mobile"), "--report", str(page)])
        with Chromium(browser, WIDTH, HEIGHT) as window:
            window.open(page.as_uri())
            window.click(f"{OPENED} button.open")
            window.run("document.activeElement.blur(); document.querySelector('#alerts').scrollIntoView()")
            window.run("scrollBy(0, 6)")
            return window.picture()


def main() -> int:
    try:
        picture = draw()
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
