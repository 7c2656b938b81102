"""Next times by croniter: `python cron_times.py CRON FROM TIMES` prints microseconds.

From one time to the next, as whoever keeps schedules asks: each time anew.
"""

import sys
import time
from datetime import datetime

from croniter import croniter


def main() -> None:
    cron, at = sys.argv[1], datetime.fromisoformat(sys.argv[2])
    times = int(sys.argv[3])
    began = time.perf_counter()
    for _ in range(times):
        at = croniter(cron, at).get_next(datetime)
    print("took", (time.perf_counter() - began) * 1e6 / times)


if __name__ == "__main__":
    main()
