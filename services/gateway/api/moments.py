"""Days and moments as the document says they are written, and in no other way.

Pydantic alone would take more: seconds since 1970, a moment for a day, any letter before the hour.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator

from libs.web.problem import Fault, Problem

DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
MOMENT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def _day(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not DAY.fullmatch(value):
        msg = "write a day as in 2026-03-14"
        raise ValueError(msg)
    return date.fromisoformat(value)


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not MOMENT.fullmatch(value):
        msg = "write a moment with its offset, as in 2026-03-14T09:30:00Z"
        raise ValueError(msg)
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError:
        msg = "it is before the year 1 or after the year 9999 in UTC"
        raise ValueError(msg) from None


Day = Annotated[date, BeforeValidator(_day)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]


def day_asked_for(text: str, today: date) -> date:
    """Of a body's `date`, which may be empty. Raises `Problem`."""
    try:
        return date.fromisoformat(text) if text else today
    except ValueError as error:
        detail = f"date: {error}"
        raise Problem(400, "invalid_request", detail, [Fault("/date", detail)]) from None
