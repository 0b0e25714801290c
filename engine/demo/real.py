"""The real part of the demo: what two test devices recorded, read as any user's files are."""

from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO

from engine.sources import Record, Refusal, app_privacy, powerlog
from engine.sources.lines import Input

PHONE = "real-iphone"
"""Device of the App Privacy Report, which names none itself."""

TABLET = "real-ipad"
"""Device of the power log, which names none itself."""

_READINGS = (
    ("app_privacy_report.ndjson", app_privacy.read, PHONE),
    ("powerlog.ndjson", powerlog.read, TABLET),
)


def real_events() -> Iterator[Record | Refusal]:
    """All events of the files in `data/` by time, as a replay would merge them; refusals, if any, come first.

    A report lists summaries, not moments, so its rows are in no order of time.
    """
    records: list[Record] = []
    for name, read, device in _READINGS:
        data = files("engine.demo").joinpath("data", name).read_bytes()
        for answer in read(Input(BytesIO(data)), name, device):
            if isinstance(answer, Refusal):
                yield answer
            else:
                records.append(answer)
    yield from sorted(records, key=lambda record: int(record.event["time"]))
