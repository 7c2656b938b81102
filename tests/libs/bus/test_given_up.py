"""What is given up is kept first, and then told of to operators, whatever the telling comes to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from contracts.audit import DeadLetterPart, MessageAbandonedV1
from contracts.catalogue import topic_of
from contracts.envelope import Wire
from contracts.message import Service
from contracts.topology import SubscriptionSpec
from libs.bus.errors import PermanentError, PublishRefusedError
from libs.bus.memory import MemoryTransport
from libs.bus.message import Received
from libs.bus.middleware.dead_letter import DeadLetters
from libs.bus.publisher import Publisher
from libs.bus.router import Delivery
from libs.bus.transport import Verdict

TOPIC, DEAD = topic_of(Service.SCHEDULER), "sub-dead"
SPEC = SubscriptionSpec("sub", "topic", dead_letter_topic=DEAD)
GOOD = {
    "ce-id": "m-1",
    "ce-type": "run.cancel.v1",
    "ce-kind": "command",
    "ce-source": "gateway",
    "ce-tenantid": "acme",
    "ce-correlationid": "c-1",
}
RUN = b'{"tenant_id":"acme","run_id":"00000000-0000-4000-8000-000000000001","requested_by":"x"}'


@dataclass
class Picky(MemoryTransport):
    """Refuses whatever goes to some topics, and a body to others."""

    refuses: frozenset[str] = field(default_factory=frozenset)
    refuses_body: bytes = b""

    def __post_init__(self) -> None:
        super().__init__()

    async def publish(self, topic: str, wires: Sequence[Wire]) -> None:
        if topic in self.refuses or self.refuses_body in [wire.data for wire in wires]:
            raise PublishRefusedError(topic, "too large", tuple(wires))
        await super().publish(topic, wires)


async def give_up(
    transport: MemoryTransport,
    attributes: Mapping[str, str] = GOOD,
    *,
    subscription: str = "sub",
    reason: str = "never",
) -> Verdict:
    async def fail(_: Delivery) -> None:
        raise PermanentError(reason)

    publisher = Publisher(Service.SCHEDULER, transport)
    receiver = DeadLetters(transport, publisher, fail, SPEC, max_failures=3)
    now = datetime(2026, 3, 14, tzinfo=UTC)
    return await receiver(Received(subscription, "7", now, attributes, RUN, "acme", 2))


def told(transport: MemoryTransport) -> list[DeadLetterPart]:
    wires = [wire for topic, wire in transport.published if topic == TOPIC]
    return [MessageAbandonedV1.decode(wire.data).letter for wire in wires]


async def test_the_letter_is_durable_before_it_is_told_of() -> None:
    transport = MemoryTransport()
    assert await give_up(transport) is Verdict.ACK
    assert [topic for topic, _ in transport.published] == [DEAD, TOPIC]
    event = transport.published[1][1]
    assert event.attributes["ce-correlationid"] == "c-1"
    assert event.attributes["ce-causationid"] == "m-1"
    assert "ce-tenantid" not in event.attributes, "reasons are for operators, not for tenants"
    (letter,) = told(transport)
    assert (letter.tenant_id, letter.message_id, letter.attempt) == ("acme", "m-1", 2)


async def test_a_letter_that_cannot_be_kept_is_not_told_of() -> None:
    transport = Picky(frozenset({DEAD}))
    with pytest.raises(PublishRefusedError):
        await give_up(transport)
    assert transport.published == []


async def test_of_a_letter_that_is_refused_all_but_its_body_is_kept() -> None:
    transport = Picky(refuses_body=RUN)
    assert await give_up(transport) is Verdict.ACK
    (topic, letter), _ = transport.published
    assert topic == DEAD
    assert f"the body of {len(RUN)} bytes is not kept" in json.loads(letter.data)["note"]
    assert {name: letter.attributes[name] for name in GOOD} == GOOD
    assert letter.attributes["dead-reason"] == "PermanentError: never"
    assert letter.attributes["dead-body-bytes"] == str(len(RUN))
    assert letter.ordering_key == "acme"
    assert [one.message_id for one in told(transport)] == ["m-1"]


async def test_an_event_that_is_refused_costs_no_letter() -> None:
    transport = Picky(frozenset({TOPIC}))
    assert await give_up(transport) is Verdict.ACK
    assert [topic for topic, _ in transport.published] == [DEAD]


@pytest.mark.parametrize("changes", [{}, {"ce-kind": "gossip"}], ids=["known", "unreadable"])
async def test_the_event_itself_is_given_up_in_silence(changes: Mapping[str, str]) -> None:
    transport = MemoryTransport()
    event = {**GOOD, "ce-type": MessageAbandonedV1.wire_type, "ce-kind": "event", **changes}
    assert await give_up(transport, event) is Verdict.ACK
    assert [topic for topic, _ in transport.published] == [DEAD]


async def test_giving_up_the_same_delivery_again_is_the_same_event() -> None:
    transport = MemoryTransport()
    for subscription in ("sub", "sub", "other"):
        await give_up(transport, subscription=subscription)
    ids = [w.attributes["ce-id"] for topic, w in transport.published if topic == TOPIC]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("attributes", "tenant", "message"),
    [
        ({}, None, "7"),
        ({**GOOD, "ce-tenantid": "No Tenant'; DROP"}, None, "m-1"),
        ({**GOOD, "ce-kind": "gossip"}, None, "m-1"),
        ({**GOOD, "ce-id": "i" * 900, "ce-type": "t" * 900}, "acme", "i" * 200),
    ],
    ids=["nothing", "no tenant's name", "no envelope", "long names"],
)
async def test_what_cannot_be_read_is_told_of_as_far_as_it_can(
    attributes: Mapping[str, str], tenant: str | None, message: str
) -> None:
    transport = MemoryTransport()
    await give_up(transport, attributes)
    (letter,) = told(transport)
    assert (letter.tenant_id, letter.message_id) == (tenant, message)


@pytest.mark.parametrize("reason", ["ü" * 2000, "\udcff" * 2000], ids=["wide", "no text"])
async def test_a_reason_fits_into_an_attribute_whatever_it_is_written_in(reason: str) -> None:
    transport = MemoryTransport()
    await give_up(transport, reason=reason)
    kept = transport.published[0][1].attributes["dead-reason"]
    assert 500 < len(kept.encode()) <= 1024
    assert told(transport)[0].reason == kept
