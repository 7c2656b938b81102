"""Puts on every log line whose message is being handled."""

from libs.bus.middleware.dead_letter import Next
from libs.bus.router import Delivery
from libs.telemetry.context import bind


def logging_context(then: Next) -> Next:
    async def handle(delivery: Delivery) -> None:
        envelope, message = delivery.envelope, delivery.message
        with bind(
            tenant_id=envelope.tenant_id,
            run_id=getattr(message, "run_id", ""),
            step_id=getattr(message, "step_id", ""),
        ):
            await then(delivery)

    return handle
