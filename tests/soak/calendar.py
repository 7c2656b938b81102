"""A month ends in the middle of the soak, and no two clocks agree."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.stack import ROOT

CLOCKS = Path(__file__).parent / "clocks"
SKEW_SECONDS = 1.0
START_SECONDS = 60.0
"""About what it takes until trouble begins."""


def shift(now: datetime, seconds: float) -> timedelta:
    """How far to move the clocks so that the next month begins half-way."""
    next_month = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
    first = next_month.replace(hour=0, minute=0, second=0, microsecond=0)
    return first - now - timedelta(seconds=START_SECONDS + seconds / 2)


def settings(moved: timedelta) -> dict[str, str]:
    """What processes need to live at another time."""
    return {
        "PYTHONPATH": f"{CLOCKS}:{ROOT}",
        "SOAK_CLOCK_SHIFT": str(moved.total_seconds()),
        "SOAK_CLOCK_SKEW": str(SKEW_SECONDS),
    }


def now(moved: timedelta) -> datetime:
    return datetime.now(UTC) + moved
