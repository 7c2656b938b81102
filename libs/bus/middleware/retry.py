"""Tries again at once what may work in a moment; the rest is left to redelivery.

While something outside is away a message is held, since each delivery counts: Pub/Sub
gives up what was delivered too often. It is given back now and then all the same:
perhaps only this instance has lost its way there.
By hand: tenacity's bookkeeping would cost more than all else the bus does with a message.
"""

import asyncio

from libs.bus.errors import RetryableError
from libs.bus.middleware.dead_letter import Next
from libs.bus.router import Delivery
from libs.outages import OutageError

TRIES = 5
HELD_TRIES = 20
"""Some half a minute."""
FIRST_WAIT = 0.1
LONGEST_WAIT = 2.0


def retry(then: Next) -> Next:
    async def handle(delivery: Delivery) -> None:
        tried = 0
        while True:
            try:
                return await then(delivery)
            except (RetryableError, OutageError) as error:
                tried += 1
                most, wait = _patience(error)
                if tried >= most:
                    raise
            await asyncio.sleep(min(wait * 2 ** (tried - 1), LONGEST_WAIT))

    return handle


def _patience(error: RetryableError | OutageError) -> tuple[int, float]:
    """How often to try, and how long to wait after the first time."""
    if isinstance(error, RetryableError):
        return TRIES, error.delay
    return HELD_TRIES, FIRST_WAIT
