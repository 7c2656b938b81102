"""Tries again at once what may work in a moment; the rest is left to redelivery.

By hand: tenacity's bookkeeping would cost more than all else the bus does with a message.
"""

import asyncio

from libs.bus.errors import RetryableError
from libs.bus.middleware.dead_letter import Next
from libs.bus.router import Delivery

TRIES = 5
LONGEST_WAIT = 2.0


def retry(then: Next) -> Next:
    async def handle(delivery: Delivery) -> None:
        for number in range(TRIES - 1):
            try:
                return await then(delivery)
            except RetryableError as error:
                wait = min(error.delay * 2**number, LONGEST_WAIT)
            await asyncio.sleep(wait)
        return await then(delivery)

    return handle
