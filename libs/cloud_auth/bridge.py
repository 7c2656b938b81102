"""Lets a provider's own, blocking library call out by the one guarded way."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlencode

from libs.outgoing.client import Answered, Call, Outgoing

SECONDS = 20.0


class Bridge:
    """Made on the event loop, used in a thread beside it."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._loop = asyncio.get_running_loop()

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answered:
        """Raises `OutgoingError`."""
        call = Call(method, url, dict(headers), body, total_seconds=SECONDS)
        return asyncio.run_coroutine_threadsafe(self._outgoing.send(call), self._loop).result()


def as_body(data: Mapping[str, str] | str | bytes | None) -> bytes | None:
    """What libraries hand over as a body, as bytes."""
    if data is None or isinstance(data, bytes):
        return data
    return (data if isinstance(data, str) else urlencode(data)).encode()
