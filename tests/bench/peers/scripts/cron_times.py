"""Next times by others: `python cron_times.py LIBRARY CRON FROM TIMES` prints microseconds.

From one time to the next, as whoever keeps schedules asks: each time anew.
"""

import sys
import time
from collections.abc import Callable
from datetime import datetime

from croniter import croniter
from cronsim import CronSim


def by_croniter(cron: str, at: datetime) -> datetime:
    found: datetime = croniter(cron, at).get_next(datetime)
    return found


def by_cronsim(cron: str, at: datetime) -> datetime:
    return next(CronSim(cron, at))


LIBRARIES: dict[str, Callable[[str, datetime], datetime]] = {
    "croniter": by_croniter,
    "cronsim": by_cronsim,
}


def main() -> None:
    next_after, cron = LIBRARIES[sys.argv[1]], sys.argv[2]
    at, times = datetime.fromisoformat(sys.argv[3]), int(sys.argv[4])
    began = time.perf_counter()
    for _ in range(times):
        at = next_after(cron, at)
    print("took", (time.perf_counter() - began) * 1e6 / times)


if __name__ == "__main__":
    main()
