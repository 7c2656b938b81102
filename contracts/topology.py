"""Topics and subscriptions as data, worked out from the catalogue.

Questions are selected by their addressee, events by their type. Pub/Sub takes
at most 256 bytes of filter, so a long list of types is shortened to domains,
and that to "any event"; what a consumer has no handler for, it acknowledges.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache

from contracts.catalogue import (
    CATALOGUE,
    CONSUMING_SERVICES,
    Entry,
    subscription_of,
    topic_of,
)
from contracts.message import EVERY_SERVICE, Kind, Service
from contracts.platform import CheckServiceV1

FILTER_LIMIT = 256
ACK_DEADLINE_SECONDS = 15
# The bus writes dead letters itself, with a reason, by what it has seen fail; Pub/Sub's
# own policy, here its most, catches what kills the process each time.
MAX_DELIVERY_ATTEMPTS = 100
DAY_SECONDS = 86_400
CLAUSES = frozenset({"any_of", "none_of"})
ANSWERING = (Service.TENANT, Service.SCHEDULER, Service.EXECUTOR, Service.AUDIT_LOG)
HEARD_BY_GATEWAYS = (*ANSWERING, Service.GATEWAY)


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition on one attribute."""

    attribute: str
    value: str
    prefix: bool = False

    def __str__(self) -> str:
        if self.prefix:
            return f'hasPrefix(attributes."{self.attribute}","{self.value}")'
        return f'attributes."{self.attribute}"="{self.value}"'

    def matches(self, attributes: Mapping[str, str]) -> bool:
        found = attributes.get(self.attribute)
        if found is None:
            return False
        return found.startswith(self.value) if self.prefix else found == self.value


@dataclass(frozen=True, slots=True)
class SubscriptionSpec:
    """A subscription as it should be."""

    name: str
    topic: str
    any_of: tuple[Clause, ...] = ()
    """Selects a message when any holds; empty selects every message."""
    none_of: tuple[Clause, ...] = ()
    """Passes over a message when any of these holds."""
    ordered: bool = True
    dead_letter_topic: str = ""
    ack_deadline_seconds: int = ACK_DEADLINE_SECONDS
    min_backoff_seconds: int = 1
    max_backoff_seconds: int = 10
    max_delivery_attempts: int = MAX_DELIVERY_ATTEMPTS
    retention_seconds: int = 7 * DAY_SECONDS
    expires_after_seconds: int = 0
    """0: never."""
    retain_acked: bool = False
    """Keep what was handled, for as long as the rest, so that it can be played again."""

    @property
    def filter(self) -> str:
        wanted = " OR ".join(str(clause) for clause in self.any_of)
        if not self.none_of:
            return wanted
        others = [f"({wanted})"] if wanted else []
        return " AND ".join([*others, *(f"NOT {clause}" for clause in self.none_of)])

    def selects(self, attributes: Mapping[str, str]) -> bool:
        if any(clause.matches(attributes) for clause in self.none_of):
            return False
        return not self.any_of or any(clause.matches(attributes) for clause in self.any_of)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic and the one account that may publish to it."""

    name: str
    publisher: str


@dataclass(frozen=True, slots=True)
class Topology:
    topics: tuple[TopicSpec, ...] = ()
    subscriptions: tuple[SubscriptionSpec, ...] = field(default=())

    def as_data(self) -> dict[str, object]:
        return {
            "topics": [asdict(topic) for topic in self.topics],
            "subscriptions": [
                {**_plain_fields(spec), "filter": spec.filter} for spec in self.subscriptions
            ],
        }


def _plain_fields(spec: SubscriptionSpec) -> dict[str, object]:
    return {name: value for name, value in asdict(spec).items() if name not in CLAUSES}


def dead_letters_of(subscription: str) -> str:
    """The name of a subscription's dead-letter topic and of that topic's subscription."""
    return f"{subscription}-dead"


@cache
def topology() -> Topology:
    durable = [s for consumer in CONSUMING_SERVICES for s in durable_subscriptions(consumer)]
    topics = [TopicSpec(topic_of(service), service.value) for service in Service]
    dead = [
        TopicSpec(s.dead_letter_topic, consumer.value)
        for consumer in CONSUMING_SERVICES
        for s in durable_subscriptions(consumer)
    ]
    # What an operator has looked at and given back is there for the next look.
    kept = [
        SubscriptionSpec(
            topic.name, topic.name, ordered=False, min_backoff_seconds=0, max_backoff_seconds=0
        )
        for topic in dead
    ]
    return Topology((*topics, *dead), (*durable, *kept))


@cache
def durable_subscriptions(consumer: Service) -> tuple[SubscriptionSpec, ...]:
    """One for each topic that carries something for this consumer; none for the gateway."""
    if consumer is Service.GATEWAY:
        return ()
    specs = (_durable(consumer, producer) for producer in Service)
    return tuple(spec for spec in specs if spec is not None)


def instance_subscriptions(instance: str) -> tuple[SubscriptionSpec, ...]:
    """What one gateway instance hears while it lives: all events, and its own replies.

    And of gateways their checks, so that it knows whether it hears at all when nobody answers.
    """
    clauses = (Clause("ce-kind", Kind.EVENT.value), Clause("ce-replyto", instance))
    checks = (Clause("ce-type", CheckServiceV1.wire_type),)
    return tuple(
        SubscriptionSpec(
            f"convergence-gateway-{instance}-from-{producer}-v1",
            topic_of(producer),
            checks if producer is Service.GATEWAY else clauses,
            retention_seconds=600,
            expires_after_seconds=DAY_SECONDS,
        )
        for producer in HEARD_BY_GATEWAYS
    )


@cache
def answering(asker: Service) -> tuple[Service, ...]:
    """Who answers the questions of a service other than the gateway, which asks everyone."""
    found = (p for e in CATALOGUE if e.asked_by is asker for p in e.producers)
    return tuple(dict.fromkeys(found))


def own_subscriptions(service: Service, instance: str) -> tuple[SubscriptionSpec, ...]:
    """What one instance of a service other than the gateway hears for itself while it lives.

    Answers to its own questions, and what every instance must hear.
    """
    clauses: dict[Service, list[Clause]] = {}
    for producer in answering(service):
        clauses.setdefault(producer, []).append(Clause("ce-replyto", instance))
    for entry in CATALOGUE:
        if service in entry.heard_by_every:
            clause = Clause("ce-type", entry.model.wire_type)
            clauses.setdefault(entry.producers[0], []).append(clause)
    return tuple(
        SubscriptionSpec(
            f"convergence-{service}-{instance}-from-{producer}-v1",
            topic_of(producer),
            tuple(any_of),
            retention_seconds=600,
            expires_after_seconds=DAY_SECONDS,
        )
        for producer, any_of in clauses.items()
    )


def is_instance_subscription(name: str) -> bool:
    """Whether it is one that an instance makes and drops by itself."""
    return any(
        name.startswith(f"convergence-{asker}-")
        and name.endswith(f"-from-{producer}-v1")
        and name != subscription_of(asker, producer)
        for asker in CONSUMING_SERVICES
        for producer in HEARD_BY_GATEWAYS
    )


def _durable(consumer: Service, producer: Service) -> SubscriptionSpec | None:
    wanted = [e for e in CATALOGUE if producer in e.producers and consumer in e.consumers]
    recorder = consumer is Service.AUDIT_LOG
    if not wanted and not recorder:
        return None
    name = subscription_of(consumer, producer)
    return SubscriptionSpec(
        name,
        topic_of(producer),
        () if recorder else _clauses(consumer, wanted),
        _sealed(producer) if recorder else (),
        ordered=not recorder,
        dead_letter_topic=dead_letters_of(name),
        retain_acked=recorder,
    )


def _sealed(producer: Service) -> tuple[Clause, ...]:
    """What audit_log never gets: it keeps what it was given, and a ciphertext must not stay."""
    types = (e.model.wire_type for e in CATALOGUE if e.is_sealed and producer in e.producers)
    return tuple(Clause("ce-type", name) for name in types)


def _clauses(consumer: Service, wanted: Iterable[Entry]) -> tuple[Clause, ...]:
    addressed = {entry.model.to for entry in wanted if entry.model.to}
    names = [consumer.value] if addressed - {EVERY_SERVICE} else []
    if EVERY_SERVICE in addressed:
        names.append(EVERY_SERVICE)
    questions = tuple(Clause("ce-to", name) for name in names)
    types = sorted(entry.model.wire_type for entry in wanted if not entry.model.to)
    return _shortest(questions, types)


def _shortest(questions: tuple[Clause, ...], types: list[str]) -> tuple[Clause, ...]:
    domains = sorted({name.partition(".")[0] + "." for name in types})
    choices = (
        (*questions, *(Clause("ce-type", name) for name in types)),
        (*questions, *(Clause("ce-type", name, prefix=True) for name in domains)),
        (*questions, Clause("ce-kind", Kind.EVENT.value)),
    )
    return next(c for c in choices if len(" OR ".join(map(str, c))) <= FILTER_LIMIT)
