"""Until when somebody waits for what is being done here.

Who has to wait before it can begin, for a thread or for a turn, looks then whether anybody
still does. What has begun is not cut off: it would hold what others wait for all the same.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
_UNTIL: ContextVar[float | None] = ContextVar("waited_for_until", default=None)


class NobodyWaitsError(Exception):
    """Whoever asked has been told that there is no answer yet."""


@contextmanager
def waited_for(until: float | None) -> Iterator[None]:
    """By the monotonic clock; None is for ever. Raises `NobodyWaitsError` when that is over.

    Tasks that are begun meanwhile take it along.
    """
    _check(until)
    before = _UNTIL.set(until)
    try:
        yield
    finally:
        _UNTIL.reset(before)


def if_waited_for(call: Callable[[], T]) -> Callable[[], T]:
    """The same call, which raises `NobodyWaitsError` if it is begun too late, by any thread."""
    until = _UNTIL.get()

    def begun() -> T:
        _check(until)
        return call()

    return begun


def _check(until: float | None) -> None:
    if until is not None and time.monotonic() >= until:
        raise NobodyWaitsError
