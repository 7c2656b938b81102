"""What operators do with subscriptions: redrive dead letters, play a period again.

Blocking; for commands. Raises `OperatingError`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.pubsub_v1.types import PublisherOptions

from contracts.catalogue import topic_of
from contracts.message import Service
from contracts.topology import dead_letters_of
from libs.bus.errors import BusError
from libs.bus.message import BODY_BYTES

CALL_SECONDS = 20.0
PULL_SECONDS = 3.0
PUBLISH_SECONDS = 30.0
BATCH = 100
# Added when a message became a dead letter: by our bus, or by Pub/Sub itself.
ADDED = ("dead-", "CloudPubSubDeadLetterSource", "googclient_")


class OperatingError(BusError):
    def __init__(self, doing: str, error: Exception) -> None:
        super().__init__(f"{doing} failed: {type(error).__name__}: {str(error)[:500]}")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that its consumer gave up."""

    ack_id: str
    message_id: str
    published: datetime
    attributes: Mapping[str, str]
    data: bytes
    ordering_key: str

    @property
    def type(self) -> str:
        return self.attributes.get("ce-type", "?")

    @property
    def reason(self) -> str:
        told = self.attributes.get("dead-reason", "Pub/Sub gave it up; its consumer said nothing")
        size = self.attributes.get(BODY_BYTES)
        return f"{told}; its body of {size} bytes is not kept" if size else told

    @property
    def can_be_sent(self) -> bool:
        """Whether it is whole, and of a service."""
        known = self.attributes.get("ce-source") in set(Service)
        return known and BODY_BYTES not in self.attributes

    @property
    def original(self) -> dict[str, str]:
        """The attributes it had when it was first published."""
        return {k: v for k, v in self.attributes.items() if not k.startswith(ADDED)}

    @property
    def topic(self) -> str:
        """Raises `ValueError` for a message whose sender is no service."""
        return topic_of(Service(self.attributes.get("ce-source", "")))


Wanted = Callable[[DeadLetter], bool]


class DeadLetterBox:
    """The dead letters of one subscription."""

    def __init__(self, project: str, subscription: str) -> None:
        self._project = project
        self._name = dead_letters_of(subscription)
        with _explained("connecting to Pub/Sub"):
            self._subscriber = SubscriberClient()
            self._publisher = PublisherClient(
                publisher_options=PublisherOptions(enable_message_ordering=True)
            )
        self._path = f"projects/{project}/subscriptions/{self._name}"

    def look(self, limit: int) -> list[DeadLetter]:
        """Show what is there, and leave it there."""
        letters = list(self._taken(limit))
        self._give_back(letters)
        return letters

    def redrive(self, wanted: Wanted, limit: int) -> tuple[list[DeadLetter], list[DeadLetter]]:
        """Publish letters again under the ids they had; returns (sent, left).

        Each leaves the box only once its publishing is durable. All consumers of
        the topic see it again, which is harmless: a message's id says that it is known.
        """
        sent, left = [], []
        for letter in self._taken(limit):
            if wanted(letter) and letter.can_be_sent:
                self._publish(letter)
                sent.append(letter)
            else:
                left.append(letter)
        self._give_back(left)
        return sent, left

    def _taken(self, limit: int) -> Iterator[DeadLetter]:
        """Each letter once, up to the limit."""
        seen: set[str] = set()
        while len(seen) < limit:
            found = self._pull(min(BATCH, limit - len(seen)))
            new = [letter for letter in found if letter.message_id not in seen]
            if not new:
                return
            seen.update(letter.message_id for letter in new)
            yield from new

    def _pull(self, most: int) -> list[DeadLetter]:
        with _explained(f"pulling from {self._name}"):
            try:
                answer = self._subscriber.pull(
                    subscription=self._path, max_messages=most, timeout=PULL_SECONDS, retry=None
                )
            except DeadlineExceeded:
                return []
        return [_letter(received) for received in answer.received_messages]

    def _publish(self, letter: DeadLetter) -> None:
        topic = f"projects/{self._project}/topics/{letter.topic}"
        with _explained(f"publishing {letter.type} {letter.message_id} again"):
            self._publisher.publish(
                topic, letter.data, ordering_key=letter.ordering_key, **letter.original
            ).result(timeout=PUBLISH_SECONDS)
            self._subscriber.acknowledge(
                subscription=self._path, ack_ids=[letter.ack_id], timeout=CALL_SECONDS
            )

    def _give_back(self, letters: list[DeadLetter]) -> None:
        for start in range(0, len(letters), BATCH):
            ids = [letter.ack_id for letter in letters[start : start + BATCH]]
            with _explained(f"giving back to {self._name}"):
                self._subscriber.modify_ack_deadline(
                    subscription=self._path,
                    ack_ids=ids,
                    ack_deadline_seconds=0,
                    timeout=CALL_SECONDS,
                )


def seek(project: str, subscription: str, start: datetime) -> None:
    """Deliver again everything that a subscription got since a moment, handled or not."""
    with _explained(f"seeking {subscription}"):
        SubscriberClient().seek(
            request={
                "subscription": f"projects/{project}/subscriptions/{subscription}",
                "time": start,
            },
            timeout=CALL_SECONDS,
        )


def _letter(received: Any) -> DeadLetter:
    message = received.message
    return DeadLetter(
        ack_id=received.ack_id,
        message_id=message.message_id,
        published=message.publish_time,
        attributes=dict(message.attributes),
        data=bytes(message.data),
        ordering_key=message.ordering_key,
    )


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except (GoogleAPICallError, GoogleAuthError, RetryError, TimeoutError) as error:
        raise OperatingError(doing, error) from error
