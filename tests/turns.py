"""An event loop on which time passes by its turns alone, so that nothing hangs on the machine's.

Who sleeps is woken after so many turns; when nothing else is to be done, at once.
"""

import asyncio
from selectors import SelectorKey, SelectSelector

TURN = 0.01
"""Seconds."""


class Turns(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._passing = _Passing()
        super().__init__(self._passing)

    def time(self) -> float:
        return self._passing.seconds


class _Passing(SelectSelector):
    """Asked once each turn, and told how long nothing is to be done."""

    seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None:
            return super().select()
        self.seconds += max(timeout, TURN)
        return super().select(0)
