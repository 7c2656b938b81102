"""The outermost step: open the message, and decide what becomes of it.

A message that cannot be read, that fails for good, or that has failed too often
here is published to its subscription's dead-letter topic with the reason, then told
of to operators, and only then acknowledged. If that is more than Pub/Sub takes,
a note stands in for the body. What an instance hears for itself has no such
topic, since all of it is recorded elsewhere: there it is logged and passed over.
Failures are counted, not deliveries, of which each crash of an instance costs one; and
an outage is nobody's failure. Only what fails when Pub/Sub is about to give it up by
its own count of deliveries is given up before, so that its reason is known.
Reasons name fields and classes, never values: what did not validate may be a secret.
"""

import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

from pydantic import ValidationError

from contracts.catalogue import UnknownTypeError, entry_of
from contracts.envelope import EnvelopeError, Wire, open_envelope
from contracts.topology import SubscriptionSpec
from libs.bus.errors import (
    PermanentError,
    PublishRefusedError,
    RetryableError,
    UnreadableError,
)
from libs.bus.given_up import TellGivenUp
from libs.bus.message import BODY_BYTES, Received
from libs.bus.publisher import Publisher
from libs.bus.router import Delivery
from libs.bus.transport import Transport, Verdict
from libs.outages import OutageError
from libs.telemetry.logs import written

LOG = logging.getLogger(__name__)
MOST_REASON_BYTES = 1000
REMEMBERED = 10_000
SPARE_DELIVERIES = 5
"""So many before the last that Pub/Sub promises, which does not count exactly."""
Next = Callable[[Delivery], Awaitable[None]]


class DeadLetters:
    """A receiver that gives readable messages to `then` and turns its end into a verdict."""

    def __init__(
        self,
        transport: Transport,
        publisher: Publisher,
        then: Next,
        subscription: SubscriptionSpec,
        *,
        max_failures: int,
    ) -> None:
        self._transport = transport
        self._service = publisher.service
        self._given_up = TellGivenUp(publisher)
        self._then = then
        self._topic = subscription.dead_letter_topic
        self._max_failures = max_failures
        self._last_delivery = subscription.max_delivery_attempts - SPARE_DELIVERIES
        self._failures: OrderedDict[str, int] = OrderedDict()
        """By message. What another instance goes on with is forgotten when there are too many."""

    async def __call__(self, received: Received) -> Verdict:
        try:
            await self._then(read(received))
        except PermanentError as error:
            await self._give_up(received, error)
        except Exception as error:  # noqa: BLE001  whatever a handler raises becomes a verdict
            return await self._failed(received, error)
        self._failures.pop(received.message_id, None)
        return Verdict.ACK

    async def _failed(self, received: Received, error: Exception) -> Verdict:
        failures = self._count(received.message_id, error)
        is_last = self._topic and received.attempt >= self._last_delivery
        if failures >= self._max_failures or is_last:
            await self._give_up(received, error)
            return Verdict.ACK
        known = isinstance(error, RetryableError | OutageError)
        LOG.warning(
            "delivery %d of %s on %s failed and will be repeated: %s",
            received.attempt,
            received.attributes.get("ce-type", "a message"),
            received.subscription,
            describe(error),
            exc_info=None if known else error,
        )
        return Verdict.NACK

    def _count(self, message_id: str, error: Exception) -> int:
        """How often the message has failed here, and by its own fault."""
        failures = self._failures.get(message_id, 0)
        if isinstance(error, OutageError):
            return failures
        self._failures[message_id] = failures + 1
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)
        return failures + 1

    async def _give_up(self, received: Received, error: Exception) -> None:
        LOG.error(
            "%s on %s is %s: %s",
            received.attributes.get("ce-type", "a message"),
            received.subscription,
            "a dead letter" if self._topic else "passed over",
            describe(error),
        )
        if self._topic:
            reason = _fitting(describe(error))
            attributes = {**received.attributes, **self._why(received, error, reason)}
            await self._keep(Wire(attributes, received.data, received.ordering_key))
            await self._given_up(received, error, reason)
        self._failures.pop(received.message_id, None)

    async def _keep(self, letter: Wire) -> None:
        """What is too large with its reason is kept without its body."""
        try:
            await self._transport.publish(self._topic, [letter])
        except PublishRefusedError as refused:
            LOG.warning("a dead letter is kept without its body: %s", refused.reason)
            await self._transport.publish(self._topic, [_without_body(letter)])

    def _why(self, received: Received, error: Exception, reason: str) -> Mapping[str, str]:
        return {
            "dead-reason": reason,
            "dead-error": type(error).__name__,
            "dead-service": self._service.value,
            "dead-subscription": received.subscription,
            "dead-attempt": str(received.attempt),
            "dead-message-id": received.message_id,
        }


def _without_body(letter: Wire) -> Wire:
    size = len(letter.data)
    note = (
        f"the body of {size} bytes is not kept:"
        " with its reason the message is more than Pub/Sub takes"
    )
    attributes = {**letter.attributes, BODY_BYTES: str(size)}
    return Wire(attributes, json.dumps({"note": note}).encode(), letter.ordering_key)


def read(received: Received) -> Delivery:
    """Open a delivery; raises `UnreadableError` that says what cannot be read."""
    try:
        envelope = open_envelope(
            received.attributes,
            message_id=received.message_id,
            publish_time=received.publish_time,
        )
        message = entry_of(envelope.type).model.decode(received.data)
    except (EnvelopeError, UnknownTypeError) as error:
        raise UnreadableError(str(error)) from error
    except ValidationError as error:
        raise UnreadableError(_places(error)) from None
    if (message.scope or "") != envelope.tenant_id:
        reason = "ce-tenantid is not the tenant of the body"
        raise UnreadableError(reason)
    return Delivery(received, envelope, message)


def describe(error: BaseException) -> str:
    """Say what went wrong without the text of errors that may quote what they choked on."""
    if isinstance(error, ValidationError):
        return _places(error)
    return f"{type(error).__name__}: {written(str(error)[:500])}"


def _fitting(reason: str) -> str:
    """What fits into an attribute, of which Pub/Sub takes 1024 bytes of UTF-8."""
    return reason.encode("utf-8", "replace")[:MOST_REASON_BYTES].decode("utf-8", "ignore")


def _places(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['type']}" for e in found[:20])
