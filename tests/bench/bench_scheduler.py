"""What a tick costs as schedules grow, 1 % of them due: time, memory, and where it goes.

    python -m tests.bench.bench_scheduler [--most 1000000]

Each size is a process of its own (`tests/bench/ticking.py`), so that its memory is its
own too. How fast runs are admitted is measured by `tests/bench/admission.py`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from tests.bench.figures import Curve, Figure, Findings
from tests.bench.ticking import Ticked

SIZES = (10_000, 100_000, 1_000_000)
FIND_AIMS = (0.2, 2.0, 20.0)
AIMED = 100_000
TOGETHER = f"{AIMED:,}, ten due in a tenth of the ledgers"
NOTE = """\
What a tick costs grows with the ledgers that have something due, while they fit into memory. Of a
million schedules 10,000 ledgers are due at once; they are larger than the 160 MB of states that a
process keeps, so each is read again from its snapshot, which is where those milliseconds go and
why the memory is bounded. A larger bound (`Bounds.bytes`) on a larger machine would change it."""
LESS: Any = {"more_is_better": False}


def measured(schedules: int, due_together: int) -> Ticked:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", "tests.bench.ticking", "--folder", folder]
        command += ["--schedules", str(schedules), "--due-together", str(due_together)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found = Ticked(**json.loads(done.stdout))
    print(found)
    return found


def figures(found: Sequence[Ticked], together: Ticked | None) -> list[Figure]:
    told = [
        Figure(f"finding what is due of {one.schedules:,}", "ms", [one.find_ms], aim=aim, **LESS)
        for one, aim in zip(found, FIND_AIMS, strict=False)
    ]
    for one in found:
        size, aim = f"{one.schedules:,}", 500.0 if one.schedules == AIMED else None
        told += [
            Figure(
                f"a whole tick over {size}, one due in each ledger",
                "ms",
                one.tick_ms,
                aim=aim,
                **LESS,
            ),
            Figure(
                "… of which for each run that it starts",
                "µs",
                [ms / one.due * 1000 for ms in one.tick_ms],
                **LESS,
            ),
            Figure(
                "… the first tick of a process, which reads every ledger",
                "ms",
                [one.first_ms],
                **LESS,
            ),
            Figure("… memory of the process, at most", "MiB", [one.memory_mib], aim=1024.0, **LESS),
        ]
    if together is not None:
        told += [
            Figure(f"finding what is due of {TOGETHER}", "ms", [together.find_ms], **LESS),
            Figure(f"a whole tick over {TOGETHER}", "ms", together.tick_ms, aim=500.0, **LESS),
        ]
    return told


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_scheduler")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the most schedules")
    most = parser.parse_args().most
    found = [measured(size, 1) for size in SIZES if size <= most]
    together = measured(AIMED, 10) if most >= AIMED else None
    over = "schedules, 1 % due"
    ticks = [(float(one.schedules), sum(one.tick_ms) / len(one.tick_ms)) for one in found]
    curves = [
        Curve(
            "Finding what is due",
            over,
            "ms of CPU",
            [(one.schedules, one.find_ms) for one in found],
        ),
        Curve("A whole tick", over, "ms of CPU", ticks),
        Curve("Memory", over, "MiB", [(one.schedules, one.memory_mib) for one in found]),
    ]
    Findings(
        "scheduler", figures(found, together), curves, note=NOTE if most >= SIZES[-1] else ""
    ).keep()
    for figure in figures(found, together):
        print(figure)


if __name__ == "__main__":
    main()
