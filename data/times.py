"""When a message was written, as its source says it, in seconds since 1970 (UTC).

A string is ISO 8601 in the forms that Python reads (dates as 2023-11-17 or 20231117, weeks as
2023-W46-5, with or without a time, a fraction and an offset; BigQuery's " UTC" at the end too),
days of a year (2023-321), or a number. Eight digits are a date. A number counts seconds, or by its
size milli- (above 1e11), micro- (above 1e14) or nanoseconds (above 1e17), if that is before 2262.
Anything else is refused, such as 20231117120000, which needs `--time-format`.
"""

import math
import re
from datetime import UTC, datetime

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_DAY_OF_YEAR = re.compile(r"([0-9]{4})-?([0-9]{3})")
_DATE = re.compile(r"[0-9]{8}")
# Python reads any character between date and time.
_FORM = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}|[0-9]{4}-W[0-9]{2}(-[0-9])?|[0-9]{4}W[0-9]{2,3})"
    r"([Tt ][0-9].*)?"
)
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
_YEAR_2262 = 9_214_646_400  # The last in nanoseconds.
# Above so many, a number counts so many a second. In seconds the first would be the year 5138.
_SCALES = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


def seconds(
    value: str | float, per_second: float | None = None, time_format: str | None = None
) -> float:
    """Returns a time in seconds since 1970.

    Args:
      value: The time. What does not say its offset is UTC.
      per_second: How many a number counts a second; None tells by its size.
      time_format: Of a string, as `datetime.strptime` has it, instead of the forms above.

    Raises:
      ValueError, OverflowError, TypeError: If it is none.
    """
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, str):
        text = value.strip()
        if time_format is not None:
            return _stamp(datetime.strptime(text, time_format))
        if _DATE.fullmatch(text) or not _NUMBER.fullmatch(text):
            return _stamp(_moment(text.removesuffix(" UTC")))
        value = float(text)
    since = float(value)
    scale = per_second or next((scale for least, scale in _SCALES if abs(since) > least), 1.0)
    since /= scale
    if per_second is None and scale > 1 and since >= _YEAR_2262:
        raise ValueError
    if not math.isfinite(since) or not _YEAR_1 <= since < _YEAR_10000:
        raise ValueError
    return since


def is_format(time_format: str) -> bool:
    """Whether `datetime.strptime` reads what is written so."""
    moment = datetime(2000, 2, 3, 4, 5, 6, tzinfo=UTC)
    try:
        datetime.strptime(moment.strftime(time_format), time_format)
    except (ValueError, re.error):  # The latter of a directive that stands twice.
        return False
    return True


def _moment(text: str) -> datetime:
    if not text.isascii():
        raise ValueError
    if day := _DAY_OF_YEAR.fullmatch(text):
        moment = datetime.strptime(f"{day[1]} {day[2]}", "%Y %j")
        if moment.year != int(day[1]):  # Of day 366 Python makes the next year's first.
            raise ValueError
        return moment
    if not _FORM.fullmatch(text):
        raise ValueError
    return datetime.fromisoformat(text)


def _stamp(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
