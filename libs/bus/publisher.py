"""Publishing on a service's own topic, in envelopes that say what caused what."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import NAMESPACE_URL, uuid5

from contracts.catalogue import entry_of, topic_of
from contracts.envelope import Envelope, Wire, seal
from contracts.message import Kind, Service
from libs.bus.message import Emit, Outgoing
from libs.bus.transport import Transport
from libs.clock import Clock, system_clock
from libs.randomness import random_uuid
from libs.telemetry import trace

NAMESPACE = uuid5(NAMESPACE_URL, "convergence/bus")


class Publisher:
    """Seals messages and waits until they are durable."""

    def __init__(self, service: Service, transport: Transport, clock: Clock = system_clock) -> None:
        self.service = service
        self._transport = transport
        self._clock = clock

    async def send(
        self, *emits: Emit, cause: Envelope | None = None, reply_to: str = "", seed: str = ""
    ) -> Sequence[Wire]:
        """Publish; returns what was published once it is durable.

        With a cause, ids follow from it and from `seed`, so that handling the
        same message again publishes the same ids again.
        """
        wires = [
            wire
            for index, emit in enumerate(emits)
            if (wire := self._seal(emit, cause, reply_to, f"{seed}/{index}")) is not None
        ]
        if wires:
            await self._transport.publish(topic_of(self.service), wires)
        return wires

    def _seal(self, emit: Emit, cause: Envelope | None, reply_to: str, seed: str) -> Wire | None:
        """None for an answer that nobody waits for."""
        if isinstance(emit, Wire):
            return emit
        outgoing = emit if isinstance(emit, Outgoing) else Outgoing(emit)
        addressee = outgoing.reply_to or reply_to
        if outgoing.message.kind is Kind.REPLY:
            addressee = cause.reply_to if cause else reply_to
            if not addressee:
                return None
        return self._sealed(outgoing, cause, addressee, outgoing.id or _derive(cause, seed))

    def _sealed(self, outgoing: Outgoing, cause: Envelope | None, addressee: str, id_: str) -> Wire:
        message = outgoing.message
        at = outgoing.at or self._clock()
        is_waited_for = message.kind is Kind.QUERY and outgoing.within
        return seal(
            Envelope(
                id=id_,
                type=message.wire_type,
                kind=message.kind,
                source=self.service.value,
                time=at,
                tenant_id=message.scope or "",
                correlation_id=(cause.correlation_id or cause.id) if cause else id_,
                causation_id=cause.id if cause else "",
                sequence=outgoing.sequence,
                to=message.to,
                reply_to=addressee,
                expires=at + timedelta(seconds=outgoing.within) if is_waited_for else None,
                traceparent=str(outgoing.span)
                if outgoing.span
                else trace.outgoing(cause.traceparent if cause else ""),
            ),
            message,
            entry_of(message.wire_type).ordering_key_of(message),
        )


def _derive(cause: Envelope | None, seed: str) -> str:
    return str(uuid5(NAMESPACE, f"{cause.id}/{seed}")) if cause else random_uuid()
