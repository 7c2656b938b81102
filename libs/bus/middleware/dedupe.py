"""Leaves out what this instance has handled to the end already.

Only a shortcut: a message is remembered after everything it led to is durable,
and forgotten with the process. Doing a message twice is harmless without it.
"""

from collections import OrderedDict

from libs.bus.middleware.dead_letter import Next
from libs.bus.router import Delivery

REMEMBERED = 50_000


def dedupe(then: Next) -> Next:
    done: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def handle(delivery: Delivery) -> None:
        # Pub/Sub's id, not the message's own: a question that is asked again under
        # the same id is answered again, with what the slot log says of it.
        key = (delivery.received.subscription, delivery.received.message_id)
        if key in done:
            return
        await then(delivery)
        done[key] = None
        if len(done) > REMEMBERED:
            done.popitem(last=False)

    return handle
