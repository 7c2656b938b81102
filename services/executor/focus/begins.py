"""On which day, and so in which month, a billing period begins, by the clocks of whoever bills.

FOCUS has the instant in UTC, where somebody's midnight is up to thirteen hours earlier (New
Zealand, in summer), or up to ten hours later (Hawaii). What is in between is that day.
"""

from datetime import UTC, date, datetime, timedelta

from libs.clock import later

EAST = timedelta(hours=13)
EASTERN = f"INTERVAL {EAST // timedelta(hours=1)} HOUR"


def begins_on(start: datetime) -> date:
    return later(start.astimezone(UTC), EAST).date()


def month_of(start: datetime) -> str:
    return f"{begins_on(start):%Y-%m}"


def formatted(form: str, start: str = "BillingPeriodStart") -> str:
    """SQL: the day on which a period begins, in a form such as `%Y-%m`."""
    return f"FORMAT_TIMESTAMP('{form}', TIMESTAMP_ADD({start}, {EASTERN}))"


BEGINS_ON = f"DATE(TIMESTAMP_ADD(BillingPeriodStart, {EASTERN}))"
"""SQL: as a DATE."""
MONTH = formatted("%Y-%m")
