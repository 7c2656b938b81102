"""Tries again at once what may work in a moment; the rest is left to redelivery."""

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from libs.bus.errors import RetryableError
from libs.bus.middleware.dead_letter import Next
from libs.bus.router import Delivery

TRIES = 5
LONGEST_WAIT = 2.0


def retry(then: Next) -> Next:
    async def handle(delivery: Delivery) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(RetryableError),
            stop=stop_after_attempt(TRIES),
            wait=_as_asked,
            reraise=True,
        ):
            with attempt:
                await then(delivery)

    return handle


def _as_asked(state: RetryCallState) -> float:
    """The delay the error asks for, doubled each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.delay if isinstance(error, RetryableError) else 0.1
    return float(min(asked * 2 ** (state.attempt_number - 1), LONGEST_WAIT))
