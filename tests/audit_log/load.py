"""What is published of many runs and changes, in no order, and all of it kept to compare with."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from contracts.catalogue import entry_of, topic_of
from contracts.envelope import Envelope, Wire, seal
from contracts.message import Message
from tests.audit_log.stories import Stories

Published = tuple[str, Wire]
TICK = timedelta(seconds=1)


@dataclass(slots=True)
class Load:
    """What was said so far, in the order in which it happened."""

    chance: random.Random
    keeps: bool = True
    """Whether what was said is kept; millions of messages are only counted."""
    count: int = 0
    said: list[tuple[Envelope, Message]] = field(default_factory=list)
    stories: Stories = field(init=False)
    _numbers: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.stories = Stories(self.chance)

    def shuffled(self, runs: int, *, doubled: float = 0.3) -> list[Published]:
        """Many runs' messages, and as many changes, in no order, a part of them twice."""
        found = [] if self.count else self._sealed(self.stories.onboarding())
        for _ in range(runs):
            found += self._sealed(self.stories.run())
            found += self._sealed(self.stories.change())
        found += self.chance.sample(found, int(len(found) * doubled))
        self.chance.shuffle(found)
        return found

    def _sealed(self, messages: Iterable[Message]) -> list[Published]:
        found = []
        for message in messages:
            self.stories.now += TICK
            envelope = self._envelope(message)
            self.count += 1
            if self.keeps:
                self.said.append((envelope, message))
            found.append(
                (topic_of(entry_of(message.wire_type).producers[0]), seal(envelope, message))
            )
        return found

    def _envelope(self, message: Message) -> Envelope:
        source = entry_of(message.wire_type).producers[0].value
        tenant = message.scope or ""
        self._numbers[source, tenant] += 1
        id_ = self.stories.uuid()
        return Envelope(
            id=id_,
            type=message.wire_type,
            kind=message.kind,
            source=source,
            time=self.stories.now,
            tenant_id=tenant,
            correlation_id=id_,
            sequence=self._numbers[source, tenant],
        )
