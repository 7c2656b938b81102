"""Push subscriptions: each message is posted to an endpoint until it answers 2xx."""

import asyncio
import base64
from typing import Any

import aiohttp

from libs.local_cloud.pubsub_lanes import Consumer
from libs.local_cloud.pubsub_subscription import SubscriptionState

AT_ONCE = 10
POST_SECONDS = 10.0
ACCEPTED = frozenset({102, 200, 201, 202, 204})
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 60.0


class Pushers:
    """One task for each subscription that has an endpoint. For one event loop."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow(self, state: SubscriptionState) -> None:
        """Push or stop pushing, as the subscription now says."""
        self.stop(state.config.name)
        if state.config.push_config.push_endpoint and not state.config.detached:
            self._tasks[state.config.name] = asyncio.create_task(_push(state))

    def stop(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _push(state: SubscriptionState) -> None:
    # In order means one by one: posts that run side by side overtake each other.
    consumer = Consumer(max_messages=1 if state.config.enable_message_ordering else AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=POST_SECONDS)
    pause = 0.0
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                received = state.take(AT_ONCE, consumer)
                if not received:
                    await state.changed()
                    continue
                accepted = await asyncio.gather(*(_post(session, state, one) for one in received))
                pause = 0.0 if all(accepted) else min(LONGEST_PAUSE, pause * 2 or SHORTEST_PAUSE)
                await asyncio.sleep(pause)
    finally:
        state.release(consumer)


async def _post(session: aiohttp.ClientSession, state: SubscriptionState, one: Any) -> bool:
    try:
        async with session.post(
            state.config.push_config.push_endpoint, json=_body(state, one)
        ) as answer:
            accepted = answer.status in ACCEPTED
    except (aiohttp.ClientError, TimeoutError):
        accepted = False
    if accepted:
        state.acknowledge([one.ack_id])
    else:
        state.reject(one.ack_id)
    return accepted


def _body(state: SubscriptionState, one: Any) -> dict[str, object]:
    message = one.message
    body: dict[str, object] = {
        "data": base64.b64encode(message.data).decode(),
        "attributes": dict(message.attributes),
        "messageId": message.message_id,
        "message_id": message.message_id,
        "publishTime": message.publish_time.ToJsonString(),
        "publish_time": message.publish_time.ToJsonString(),
    }
    if message.ordering_key:
        body["orderingKey"] = message.ordering_key
    pushed: dict[str, object] = {"message": body, "subscription": state.config.name}
    if one.delivery_attempt:
        pushed["deliveryAttempt"] = one.delivery_attempt
    return pushed
