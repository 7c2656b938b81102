"""Sets of days, as ordered ranges of ordinals that do not touch."""

from collections.abc import Sequence

MOST_RANGES = 500
Range = tuple[int, int]


def with_day(ranges: Sequence[Range], day: int) -> tuple[Range, ...]:
    """The days with one more. Beyond `MOST_RANGES` the oldest are forgotten."""
    before = [r for r in ranges if r[1] < day - 1]
    after = [r for r in ranges if r[0] > day + 1]
    touching = [r for r in ranges if r[0] <= day + 1 and r[1] >= day - 1]
    joined = (
        min([day, *(low for low, _ in touching)]),
        max([day, *(high for _, high in touching)]),
    )
    return tuple([*before, joined, *after][-MOST_RANGES:])


def has_day(ranges: Sequence[Range], day: int) -> bool:
    return any(low <= day <= high for low, high in ranges)
