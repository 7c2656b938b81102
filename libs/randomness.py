"""Random ids, drawn from the system many at a time: each draw is a system call."""

import os
import re

DIGITS = 32
DRAWN_TOGETHER = 128
_EACH = re.compile(f".{{{DIGITS}}}")
_VARIANT = {f"{value:x}": "89ab"[value & 3] for value in range(16)}
_drawn: list[str] = []
os.register_at_fork(after_in_child=_drawn.clear)


def random_digits() -> str:
    """128 random bits as hexadecimal digits, given to nobody else. Thread-safe."""
    try:
        return _drawn.pop()
    except IndexError:
        text = os.urandom(DRAWN_TOGETHER * DIGITS // 2).hex()
        drawn: list[str] = _EACH.findall(text)
        first = drawn.pop()
        _drawn.extend(drawn)
        return first


def random_uuid() -> str:
    """Of version 4, as text."""
    drawn = random_digits()
    variant = _VARIANT[drawn[16]]
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-{variant}{drawn[17:20]}-{drawn[20:]}"
