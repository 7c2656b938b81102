"""Tells operators of what a service gave up: an event on the service's own topic."""

import logging
from uuid import uuid5

from contracts.audit import DeadLetterPart, MessageAbandonedV1
from contracts.envelope import Envelope, EnvelopeError, open_envelope
from contracts.identifiers import InvalidIdentifierError, TenantId
from libs.bus.errors import PublishRefusedError
from libs.bus.message import Outgoing, Received
from libs.bus.publisher import NAMESPACE, Publisher

LOG = logging.getLogger(__name__)
MOST_CHARACTERS = 200


class TellGivenUp:
    """Called once the letter is durable: nothing that goes wrong here may cost it."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def __call__(self, received: Received, error: Exception, reason: str) -> None:
        if received.attributes.get("ce-type") == MessageAbandonedV1.wire_type:
            return  # its own end would be told to whoever could not hear it, for ever
        cause = _envelope(received)
        event = MessageAbandonedV1(letter=self._letter(received, error, reason, cause))
        id_ = uuid5(NAMESPACE, f"given up/{received.subscription}/{received.message_id}")
        try:
            await self._publisher.send(Outgoing(event, id=str(id_)), cause=cause)
        except PublishRefusedError as refused:
            LOG.error("a dead letter is kept, and is not told of: %s", refused.reason)  # noqa: TRY400  a reason says enough

    def _letter(
        self, received: Received, error: Exception, reason: str, cause: Envelope | None
    ) -> DeadLetterPart:
        named = received.attributes.get("ce-id") or received.message_id
        return DeadLetterPart(
            service=self._publisher.service,
            subscription=received.subscription,
            message_type=received.attributes.get("ce-type", "")[:MOST_CHARACTERS],
            message_id=named[:MOST_CHARACTERS],
            tenant_id=_tenant(cause),
            reason=reason,
            error=type(error).__name__,
            attempt=received.attempt,
        )


def _envelope(received: Received) -> Envelope | None:
    try:
        return open_envelope(
            received.attributes,
            message_id=received.message_id,
            publish_time=received.publish_time,
        )
    except EnvelopeError:
        return None


def _tenant(envelope: Envelope | None) -> TenantId | None:
    try:
        return TenantId(envelope.tenant_id) if envelope else None
    except InvalidIdentifierError:
        return None
