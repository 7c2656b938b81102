"""Python runs this at the start of each process of the platform under test: its clock is moved.

To where a month ends, and a little differently in each process, as machines' clocks differ.
"""

import os
import random
import time
from datetime import UTC, datetime

import libs.clock

SHIFT = float(os.environ.get("SOAK_CLOCK_SHIFT", "0"))
SKEW = float(os.environ.get("SOAK_CLOCK_SKEW", "0"))
MOVED_BY = SHIFT + random.Random(os.getpid()).uniform(-SKEW, SKEW)
true_time = time.time


def moved_time() -> float:
    return true_time() + MOVED_BY


def moved_clock() -> datetime:
    return datetime.fromtimestamp(moved_time(), UTC)


time.time = moved_time
time.time_ns = lambda: int(moved_time() * 1e9)
libs.clock.system_clock = moved_clock
