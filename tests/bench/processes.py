"""What a process has had of the machine, as the kernel counts it."""

import os
from pathlib import Path

MIB = 1 << 20
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*pids: int) -> float:
    """Of all of them, since each began."""
    return sum(map(_cpu_seconds, pids))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def resident(pid: int) -> int:
    """The memory that it has now, in bytes."""
    return _memory(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most memory that it has had, in bytes."""
    return _memory(pid, "VmHWM")


def _memory(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
