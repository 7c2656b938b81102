"""Everything that was published, as somebody who listens to every topic heard it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contracts.catalogue import CONSUMING_SERVICES, entry_of, topic_of
from contracts.message import Service
from contracts.runs import RunFinishedV1
from contracts.topology import SubscriptionSpec, dead_letters_of, durable_subscriptions
from libs.bus.message import Received
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.bus.transport import FlowControl, Subscription, Verdict
from libs.clock import FIRST

EARS = "soak"
NEVER = datetime.max.replace(tzinfo=UTC)
DEAD_LETTERS = frozenset(
    dead_letters_of(subscription.name)
    for consumer in CONSUMING_SERVICES
    for subscription in durable_subscriptions(consumer)
)


@dataclass(slots=True)
class Collector:
    """Keeps the id of each message once, however often it is delivered."""

    project: str
    emulator_host: str
    recorded: dict[str, str] = field(default_factory=dict)
    """Ids of what audit_log must keep, and what that is."""
    heard: set[str] = field(default_factory=set)
    dead: Counter[str] = field(default_factory=Counter)
    """Dead letters by the id of their message and where they are kept."""
    reasons: dict[str, str] = field(default_factory=dict)
    ended: dict[str, datetime] = field(default_factory=dict)
    """When the end of each run was first told, by Pub/Sub's clock."""
    deliveries: int = 0
    _newest: datetime = FIRST
    """When what was heard so far was published last, by Pub/Sub's clock."""
    _until: datetime = NEVER
    _transport: PubSubTransport | None = None
    _running: list[Subscription] = field(default_factory=list)

    async def start(self) -> None:
        """Return once nothing published from now on can be missed."""
        self._transport = PubSubTransport(
            PubSubSettings(project_id=self.project, emulator_host=self.emulator_host)
        )
        for service in Service:
            spec = SubscriptionSpec(f"{EARS}-{service.value}", topic_of(service), ordered=False)
            await self._transport.ensure_subscription(spec)
            self._listen(spec.name)
        for name in DEAD_LETTERS:
            self._listen(name)

    def judge(self) -> None:
        """What is published later need not be recorded: ticks go on while the judge looks."""
        self._until = self._newest

    async def stop(self) -> None:
        for subscription in self._running:
            await subscription.drain(2)
        if self._transport is not None:
            await self._transport.close()

    def _listen(self, name: str) -> None:
        assert self._transport is not None
        self._running.append(self._transport.subscribe(name, self._hear, FlowControl()))

    async def _hear(self, received: Received) -> Verdict:
        self.deliveries += 1
        id_ = received.attributes.get("ce-id") or received.message_id
        if received.subscription in DEAD_LETTERS:  # by its service, or by Pub/Sub without a reason
            letter = f"{id_} {received.subscription}"
            self.dead[letter] += 1
            self.reasons[letter] = received.attributes.get("dead-reason", "")
            return Verdict.ACK
        self.heard.add(id_)
        if received.attributes.get("ce-type") == RunFinishedV1.wire_type:
            run_id = RunFinishedV1.decode(received.data).run_id
            told = min(self.ended.get(run_id, NEVER), received.publish_time)
            self.ended[run_id] = told
        self._newest = max(self._newest, received.publish_time)
        if received.publish_time > self._until or id_.startswith("poison-"):
            return Verdict.ACK
        if entry_of(received.attributes["ce-type"]).recorded:
            said = f"{received.attributes['ce-type']} of {received.publish_time:%H:%M:%S.%f}"
            self.recorded[id_] = f"{said}, message {received.message_id}"
        return Verdict.ACK
