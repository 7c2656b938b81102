"""What this instance has answered to requests with an Idempotency-Key, for as long as it counts.

Bounded in bytes, in all and for each caller: the oldest go first. What has ended
is gone from memory, and so are the texts of keys.
"""

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web

from libs.clock import Clock

KEPT_FOR = timedelta(hours=24)
SECRETS_KEPT_FOR = timedelta(minutes=10)
MOST_BYTES = 64 << 20
MOST_BYTES_EACH = 4 << 20
MOST_BYTES_OF_ONE = 64 << 10
OVERHEAD_BYTES = 1_024
"""What an answer takes beside its body and headers, about."""
PURGED_EVERY_SECONDS = 5.0

Slot = tuple[str, str]
"""A caller, and its key with one of its Idempotency-Keys."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as it is given again."""

    fingerprint: str
    """Of the request."""
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]

    @property
    def is_secret(self) -> bool:
        return ("Cache-Control", "no-store") in self.headers

    @property
    def weight(self) -> int:
        named = sum(len(name) + len(value) for name, value in self.headers)
        return OVERHEAD_BYTES + len(self.body) + named

    def again(self) -> web.Response:
        response = web.Response(status=self.status, body=self.body, headers=dict(self.headers))
        response.headers["Idempotency-Replayed"] = "true"
        return response


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Answer
    at: datetime


class Answers:
    """For one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._secret: OrderedDict[Slot, _Kept] = OrderedDict()
        self._plain: OrderedDict[Slot, _Kept] = OrderedDict()
        self._of: dict[str, OrderedDict[Slot, None]] = {}
        self._weights: Counter[str] = Counter()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._secret) + len(self._plain)

    def find(self, slot: Slot) -> Answer | None:
        self.purge()
        kept = self._secret.get(slot) or self._plain.get(slot)
        return kept.answer if kept is not None else None

    def keep(self, slot: Slot, answer: Answer) -> None:
        """One that is too large is not kept: its repeat is carried out, with the same ids."""
        if len(answer.body) > MOST_BYTES_OF_ONE:
            return
        self._forget(slot)
        caller, _ = slot
        (self._secret if answer.is_secret else self._plain)[slot] = _Kept(answer, self._clock())
        self._of.setdefault(caller, OrderedDict())[slot] = None
        self._weights[caller] += answer.weight
        self._weight += answer.weight
        while self._weights[caller] > MOST_BYTES_EACH:
            self._forget(next(iter(self._of[caller])))
        while self._weight > MOST_BYTES:
            self._forget(self._oldest())

    def purge(self) -> None:
        """Forget what has ended."""
        now = self._clock()
        for kept, lifetime in ((self._secret, SECRETS_KEPT_FOR), (self._plain, KEPT_FOR)):
            while kept and next(iter(kept.values())).at + lifetime <= now:
                self._forget(next(iter(kept)))

    async def keep_purging(self) -> None:
        """Also when nobody asks."""
        while True:
            await asyncio.sleep(PURGED_EVERY_SECONDS)
            self.purge()

    def _oldest(self) -> Slot:
        heads = [next(iter(kept.items())) for kept in (self._secret, self._plain) if kept]
        return min(heads, key=lambda head: head[1].at)[0]

    def _forget(self, slot: Slot) -> None:
        kept = self._secret.pop(slot, None) or self._plain.pop(slot, None)
        if kept is None:
            return
        caller, _ = slot
        self._weights[caller] -= kept.answer.weight
        self._weight -= kept.answer.weight
        del self._of[caller][slot]
        if not self._of[caller]:
            del self._of[caller], self._weights[caller]
