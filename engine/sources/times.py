"""Times as sources write them -> epoch milliseconds (UTC), exactly.

No step goes through a float: 1601998398.945854 as a double times 1000 can land on either side of a
millisecond. Digits below the millisecond are cut off, never rounded, so that a time is never later than the
source said and two sources that print a different number of digits agree.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.sources.records import Refused, shown

LAST_TIME = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z in milliseconds: later is a broken clock or a broken field."""

_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))? ?(?:([Zz])|([+-])(\d\d):?(\d\d))",
    re.ASCII,
)
_SECONDS = re.compile(r"-?\d{1,15}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def from_text(text: str) -> int:
    """Epoch milliseconds of RFC 3339 ("2022-04-27T10:53:24.555-04:00") or of Apple's form of it
    ("2022-01-06 15:09:22.6192 +0200": a space before the time and before an offset without colon).

    Raises Refused "bad_time": another form, a date that does not exist, a time without an offset from UTC
    (it could be any of 26 hours), a time before 1970 or after 9999.
    """
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        raise Refused("bad_time", f"'{shown(text)}' is no date and time with an offset from UTC.")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, zulu, sign, offset_hours, offset_minutes = found.groups()[6:]
    # RFC 3339 allows second 60 in a leap second; as a count of seconds it needs no special case.
    if hour > 23 or minute > 59 or second > 60:
        raise Refused("bad_time", f"'{shown(text)}' has an hour, minute or second that does not exist.")
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise Refused("bad_time", f"'{shown(text)}' has a day that does not exist.") from None
    offset = 0
    if not zulu:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise Refused("bad_time", f"'{shown(text)}' has an impossible offset from UTC.")
        offset = (int(offset_hours) * 60 + int(offset_minutes)) * (-1 if sign == "-" else 1)
    seconds = days * 86_400 + (hour * 60 + minute - offset) * 60 + second
    return checked(seconds * 1000 + int(((fraction or "") + "000")[:3]), text)


def milliseconds(text: str) -> int:
    """A decimal number of seconds ("0.007707", "1.5e-05") in whole milliseconds, cut towards zero.

    Raises Refused "wrong_type" when the text is no such number.
    """
    whole, _, fraction = text.partition(".")
    if len(text) <= 30 and text.isascii() and whole.isdigit() and (fraction.isdigit() or whole == text):
        return int(whole) * 1000 + int((fraction + "000")[:3])
    # The pattern bounds the exponent: Decimal("1e999999999") would take all memory on its way to an integer.
    if _SECONDS.fullmatch(text) is None:
        raise Refused("wrong_type", f"'{shown(text)}' is no number of seconds.")
    return int(Decimal(text).scaleb(3))


def from_seconds(text: str) -> int:
    """Epoch milliseconds of decimal epoch seconds: "1601998398.945854" is 1601998398945.

    Raises Refused: "wrong_type" when it is no number, "bad_time" before 1970 or after 9999.
    """
    return checked(milliseconds(text), text)


def checked(value: int, text: object) -> int:
    """`value` if it lies between 1970 and 9999, else Refused "bad_time" quoting `text`."""
    if 0 <= value <= LAST_TIME:
        return value
    raise Refused("bad_time", f"'{shown(text)}' lies before 1970 or after 9999.")


_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)


def zone(text: str) -> tzinfo:
    """A time zone by its name ("Europe/Lisbon", "UTC") or its offset ("+02:00").

    Names come from the system's time zone data. Raises ValueError for anything else.
    """
    found = _OFFSET.fullmatch(text)
    if text in ("UTC", "Z"):
        return UTC
    if found is not None and int(found[2]) < 24 and int(found[3]) < 60:
        minutes = int(found[2]) * 60 + int(found[3])
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"'{shown(text)}' is no time zone; write +02:00 or a name like Europe/Lisbon"
        ) from None


def local(moment: datetime, where: tzinfo) -> int:
    """Epoch milliseconds of a time without an offset, read in a zone. Of an hour that comes twice a year the
    first is taken. Raises Refused "bad_time"."""
    try:
        since = moment.replace(tzinfo=where) - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError:
        raise Refused("bad_time", f"'{moment}' lies before 1970 or after 9999.") from None
    return checked(since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000, str(moment))
