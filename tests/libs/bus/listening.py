"""A receiver that keeps what it is given, and waiting for what it gets."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.envelope import Wire
from libs.bus.message import Received
from libs.bus.transport import Verdict


@dataclass(slots=True)
class Listener:
    """Keeps what it is given; says what it is told to say of it."""

    verdict: Callable[[Received], Verdict] = lambda _: Verdict.ACK
    got: list[Received] = field(default_factory=list)

    async def __call__(self, received: Received) -> Verdict:
        await asyncio.sleep(0)
        self.got.append(received)
        return self.verdict(received)

    @property
    def texts(self) -> list[str]:
        return [received.data.decode() for received in self.got]


async def until(check: Callable[[], object], within: float = 60.0) -> None:
    async with asyncio.timeout(within):
        while not check():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.005)


def wire(text: str, key: str = "") -> Wire:
    return Wire({"kind": "test"}, text.encode(), key)
