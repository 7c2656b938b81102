"""The month that a step is about, in the words of paths and queries."""

import calendar
import re
from datetime import UTC, date, datetime, timedelta

from libs.clock import later
from services.executor.steps.step import StepError

_PLACE = re.compile(r"\{period\.([a-z_]+)\}")
_MONTH = re.compile(r"([1-9][0-9]{3})-(0[1-9]|1[0-2])")


def fill_month(text: str, slice_: str) -> str:
    """`{period.month}` and the like; raises `StepError` where the slice is no month."""
    if "{period." not in text:
        return text
    words = _words(slice_)
    if not words:
        detail = f"slice {slice_!r} is no month, but {{period.…}} is asked for"
        raise StepError("invalid_config", detail)

    def word(match: re.Match[str]) -> str:
        if match.group(1) not in words:
            detail = f"{match.group()} is not known; there are {', '.join(sorted(words))}"
            raise StepError("invalid_config", detail)
        return words[match.group(1)]

    return _PLACE.sub(word, text)


def month_of(slice_: str) -> tuple[date, date] | None:
    """Its first day, and that of the month after it."""
    match = _MONTH.fullmatch(slice_)
    if match is None:
        return None
    start = date(int(match.group(1)), int(match.group(2)), 1)
    days = calendar.monthrange(start.year, start.month)[1]
    return start, later(start, timedelta(days=days))


def _words(slice_: str) -> dict[str, str]:
    month = month_of(slice_)
    if month is None:
        return {}
    words = {"month": slice_, "last_compact": f"{month[1] - timedelta(days=1):%Y%m%d}"}
    for name, day in zip(("start", "end"), month, strict=True):
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        words[f"{name}_unix"] = str(int(at.timestamp()))
        words[f"{name}_date"] = day.isoformat()
        words[f"{name}_compact"] = f"{day:%Y%m%d}"
        words[f"{name}_iso"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return words
