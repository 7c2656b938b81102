"""What a service gives to the writer: pure rules over its own state."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from contracts.message import Message

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Decision:
    """What an input leads to: changes of the state, and messages to publish."""

    facts: tuple[BaseModel, ...] = ()
    emits: tuple[Message, ...] = ()
    after: Any = None
    """The state that the facts lead to, where it is known; else the writer works it out."""

    @classmethod
    def of(cls, facts: Iterable[BaseModel], *emits: Message) -> "Decision":
        return cls(tuple(facts), emits)


class Decider(Protocol[S]):
    """Pure: same state, message and time, same answer; no method does I/O."""

    version: int
    """Of the state's form. A snapshot of another version is ignored and rebuilt."""

    def initial(self) -> S: ...

    def decide(self, state: S, message: Message, now: datetime) -> Decision: ...

    def evolve(self, state: S, fact: BaseModel) -> S: ...

    def load_fact(self, data: Any) -> BaseModel: ...

    def dump_state(self, state: S) -> bytes:
        """Return the state as JSON."""

    def load_state(self, data: Any) -> S: ...
