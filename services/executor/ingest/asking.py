"""Asking a source that may be busy or away: again after a pause, and not for ever."""

import asyncio
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from typing import TypeVar

from libs.clock import Clock, system_clock
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
_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{0,9})?")
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
        count = "1 try" if tries == 1 else f"{tries} tries"
        super().__init__(f"{host} did not answer in {count}; last: {last}")


class PassingError(Exception):
    """May hold next time, after this many seconds."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often something is asked, and until when, in the time of `time.monotonic`."""

    attempts: int
    until: float = inf

    @classmethod
    def of(cls, attempts: int, seconds: float) -> "Patience":
        return cls(attempts, time.monotonic() + seconds)


async def patiently(host: str, patience: Patience, once: Callable[[], Awaitable[T]]) -> T:
    """What `once` gives in the end. Raises `SourceUnavailableError`, and what it raises.

    A source is asked again when it wants to be, unless that is too late.
    """
    last, attempts = "", patience.attempts
    for number in range(1, attempts + 1):
        try:
            return await once()
        except PassingError as error:
            last = str(error)
            LOG.warning("%s, try %d: %s", host, number, last)
            if number < attempts:
                pause = _pause(number, error.after)
                if time.monotonic() + pause >= patience.until:
                    late = f"{last}, and wants to be asked in {pause:.0f} s, when this step is over"
                    raise SourceUnavailableError(host, number, late) from None
                await asyncio.sleep(pause)
    raise SourceUnavailableError(host, attempts, last)


def passes(status: int) -> bool:
    """Whether such an answer may be another one next time."""
    return status in {TIMED_OUT, TOO_MANY} or status >= SERVER_ERROR


def retry_after(headers: Mapping[str, str], clock: Clock = system_clock) -> float | None:
    """Seconds, as the source asks for: by their number, or by a time of its own clock."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        said = headers.get(name, "")
        if _SECONDS.fullmatch(said):
            return float(said) / unit
    at = _time(headers.get("retry-after"))
    if at is None:
        return None
    return max((at - (_time(headers.get("date")) or clock())).total_seconds(), 0.0)


def _time(said: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(said or "")
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _pause(number: int, after: float | None) -> float:
    if after is not None:
        return after
    longest = min(FIRST_PAUSE * 2 ** (number - 1), LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311  spread, not secrecy
