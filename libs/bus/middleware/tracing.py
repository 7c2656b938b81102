"""Continues the sender's trace while its message is handled."""

from libs.bus.middleware.dead_letter import Next
from libs.bus.router import Delivery
from libs.telemetry import otel, trace


def tracing(then: Next) -> Next:
    async def handle(delivery: Delivery) -> None:
        span = trace.continue_trace(delivery.envelope.traceparent)
        with otel.entered(lambda: f"handle {delivery.envelope.type}", span):
            await then(delivery)

    return handle
