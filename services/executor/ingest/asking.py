"""Asking a source that may be busy or away: again after a pause, and not for ever."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from services.executor.concealing import without_secrets
from services.executor.ingest.errors import IngestError

LOG = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0
MOST_QUOTED = 300
TOO_MANY, SERVER_ERROR, TIMED_OUT = 429, 500, 408
_HINTS = {
    0: "check its address",
    400: "check what is asked for",
    401: "check the credential",
    403: "the credential may not read this",
    404: "check its address and path",
}
T = TypeVar("T")


class SourceRefusedError(IngestError):
    """The source says no, and would again."""

    code = "source_refused"

    def __init__(self, host: str, status: int, said: str) -> None:
        self.status = status
        hint = _HINTS.get(status, "check what is asked for")
        answered = f"answered {status}" if status else "was not asked"
        super().__init__(f"{host} {answered} ({hint}): {without_secrets(said)[:MOST_QUOTED]}")


class SourceUnavailableError(IngestError):
    """The source gave way every time it was asked; trying later may help."""

    code = "source_unavailable"

    def __init__(self, host: str, tries: int, last: str) -> None:
        super().__init__(f"{host} did not answer in {tries} tries; last: {last}")


class PassingError(Exception):
    """May hold next time, after this many seconds."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(reason)


async def patiently(host: str, attempts: int, once: Callable[[], Awaitable[T]]) -> T:
    """What `once` gives in the end. Raises `SourceUnavailableError`, and what it raises."""
    last = ""
    for number in range(1, attempts + 1):
        try:
            return await once()
        except PassingError as error:
            last = str(error)
            LOG.warning("%s, try %d: %s", host, number, last)
            if number < attempts:
                await asyncio.sleep(_pause(number, error.after))
    raise SourceUnavailableError(host, attempts, last)


def passes(status: int) -> bool:
    """Whether such an answer may be another one next time."""
    return status in {TIMED_OUT, TOO_MANY} or status >= SERVER_ERROR


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, as the source asks for."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(float(headers[name]) / unit, 0.0)
        except (KeyError, ValueError):
            continue
    return None


def _pause(number: int, after: float | None) -> float:
    if after is not None:
        return min(after, LONGEST_PAUSE)
    longest = min(FIRST_PAUSE * 2 ** (number - 1), LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311  spread, not secrecy
