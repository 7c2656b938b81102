"""Making Pub/Sub match the topology: says what differs, then changes just that.

Nothing is ever deleted here: what is not in the topology is only named. The
short-lived subscriptions of gateway instances are theirs to make and to drop.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from google.api_core.exceptions import (
    AlreadyExists,
    GoogleAPICallError,
    NotFound,
    RetryError,
    ServiceUnavailable,
)
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1.types import Subscription

from contracts.topology import SubscriptionSpec, Topology, is_instance_subscription
from libs.bus.errors import TopologyError
from libs.bus.pubsub import subscription_message

CALL_SECONDS = 20.0
PREFIX = "convergence-"
MUTABLE = (
    "ack_deadline_seconds",
    "dead_letter_policy",
    "expiration_policy",
    "message_retention_duration",
    "retain_acked_messages",
    "retry_policy",
)


class Action(StrEnum):
    CREATE_TOPIC = "create topic"
    CREATE_SUBSCRIPTION = "create subscription"
    UPDATE_SUBSCRIPTION = "update subscription"
    RECREATE_SUBSCRIPTION = "recreate by hand, since Pub/Sub cannot change it, subscription"
    UNKNOWN = "leave alone, since the topology does not know it,"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between what is and what should be."""

    action: Action
    name: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.action} {self.name}{what}"


class PubSubAdmin:
    """Compares and applies. Blocking; run it as a command or in a thread.

    What it is asked raises `TopologyError`. Applying may be repeated, also after
    it failed half-way.
    """

    def __init__(self, project: str, call_seconds: float = CALL_SECONDS) -> None:
        self._project = project
        # Without a bound of their own, Google's retries go on for ten minutes.
        retry = Retry(predicate=if_exception_type(ServiceUnavailable), timeout=call_seconds)
        self._bounds: dict[str, Any] = {"retry": retry, "timeout": call_seconds}
        with self._explained("connecting"):
            self._publisher = PublisherClient()
            self._subscriber = SubscriberClient()

    def diff(self, wanted: Topology) -> list[Change]:
        with self._explained("reading topics and subscriptions"):
            return self._diff(wanted)

    def apply(self, wanted: Topology) -> list[Change]:
        """Make it so; returns what was done or has to be done by hand."""
        changes = self.diff(wanted)
        specs = {spec.name: spec for spec in wanted.subscriptions}
        for change in changes:
            with self._explained(f"to {change}"):
                self._apply_one(change, specs)
        return changes

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (GoogleAPICallError, GoogleAuthError, RetryError) as error:
            raise TopologyError(self._project, doing, error) from error

    def _diff(self, wanted: Topology) -> list[Change]:
        topics = {t.name for t in self._list_topics()}
        subscriptions = {s.name: s for s in self._list_subscriptions()}
        changes = [
            Change(Action.CREATE_TOPIC, topic.name)
            for topic in wanted.topics
            if self._topic(topic.name) not in topics
        ]
        for spec in wanted.subscriptions:
            changes += self._diff_one(spec, subscriptions.get(self._subscription(spec.name)))
        known = {self._topic(topic.name) for topic in wanted.topics}
        known |= {self._subscription(spec.name) for spec in wanted.subscriptions}
        return [*changes, *_unknown((topics | subscriptions.keys()) - known)]

    def _apply_one(self, change: Change, specs: dict[str, SubscriptionSpec]) -> None:
        match change.action:
            case Action.CREATE_TOPIC:
                self._create_topic(change.name)
            case Action.CREATE_SUBSCRIPTION:
                self._create_subscription(specs[change.name])
            case Action.UPDATE_SUBSCRIPTION:
                message = subscription_message(self._project, specs[change.name])
                self._subscriber.update_subscription(
                    request={
                        "subscription": _wrapped(message),
                        "update_mask": FieldMask(paths=change.fields),
                    },
                    **self._bounds,
                )
            case Action.RECREATE_SUBSCRIPTION | Action.UNKNOWN:
                return  # for a person to decide

    def _create_topic(self, name: str) -> None:
        try:
            self._publisher.create_topic(name=self._topic(name), **self._bounds)
        except AlreadyExists:
            return  # somebody was quicker

    def _create_subscription(self, spec: SubscriptionSpec) -> None:
        message = subscription_message(self._project, spec)
        try:
            self._subscriber.create_subscription(request=_wrapped(message), **self._bounds)
        except AlreadyExists:
            return  # somebody was quicker

    def _diff_one(self, spec: SubscriptionSpec, found: Any) -> list[Change]:
        if found is None:
            return [Change(Action.CREATE_SUBSCRIPTION, spec.name)]
        wanted = subscription_message(self._project, spec)
        actual = type(found).pb(found)
        fixed = ("filter", "topic", "enable_message_ordering")
        if wrong := tuple(f for f in fixed if getattr(wanted, f) != getattr(actual, f)):
            return [Change(Action.RECREATE_SUBSCRIPTION, spec.name, wrong)]
        stale = tuple(f for f in MUTABLE if getattr(wanted, f) != getattr(actual, f))
        return [Change(Action.UPDATE_SUBSCRIPTION, spec.name, stale)] if stale else []

    def _list_topics(self) -> Iterable[Any]:
        try:
            yield from self._publisher.list_topics(
                project=f"projects/{self._project}", **self._bounds
            )
        except NotFound:
            return

    def _list_subscriptions(self) -> Iterable[Any]:
        try:
            yield from self._subscriber.list_subscriptions(
                project=f"projects/{self._project}", **self._bounds
            )
        except NotFound:
            return

    def _topic(self, name: str) -> str:
        return f"projects/{self._project}/topics/{name}"

    def _subscription(self, name: str) -> str:
        return f"projects/{self._project}/subscriptions/{name}"


def _unknown(paths: set[str]) -> Iterator[Change]:
    for path in sorted(paths):
        _, _, kind, name = path.split("/")
        if name.startswith(PREFIX) and not is_instance_subscription(name):
            yield Change(Action.UNKNOWN, f"{kind.removesuffix('s')} {name}")


def _wrapped(message: Any) -> Any:
    return Subscription.wrap(message)
