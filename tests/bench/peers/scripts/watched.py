"""Runs a command, and says what it took: `python watched.py SECONDS RESULT COMMAND…`.

A process of its own, for a child is charged with the memory of what it was forked from.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time


def main() -> None:
    within, result, command = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    started = time.perf_counter()
    process = subprocess.Popen(command, start_new_session=True)
    cut_off = threading.Event()

    def cut() -> None:
        cut_off.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(within, cut)
    timer.start()
    _, status, used = os.wait4(process.pid, 0)
    timer.cancel()
    took = {
        "seconds": time.perf_counter() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
        "code": None if cut_off.is_set() else os.waitstatus_to_exitcode(status),
    }
    with open(result, "w") as file:  # noqa: PTH123  without any import that takes memory
        json.dump(took, file)


if __name__ == "__main__":
    main()
