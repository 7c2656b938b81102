"""What goes wrong on the bus.

BusError
├── RetryableError        try again after `delay` seconds, then by redelivery
│   ├── NotYetError       something this message needs has not arrived yet
│   └── BusyError         this instance has too much to do; another may not have
├── PermanentError        trying again cannot help: a dead letter, with its reason
│   ├── UnreadableError   the envelope or body is not of a known message
│   └── PublishRefusedError  Pub/Sub will never take this message
├── NoAnswerError         a question was not answered in time
├── RefusedError          a question was answered with `command.refused.v1`
├── TopologyError         Pub/Sub cannot be made to match the topology (libs.bus.admin)
└── TooManyQuestionsError more questions are open than an instance may have

`libs.outages.OutageError` is what the slot log, the warehouse and the vault raise
when they get no answer: the message is held and tried again, and has not failed. What
is a `RetryableError` as well is given back sooner.
"""

from contracts.envelope import Wire
from contracts.platform import CommandRefusedV1
from libs.outages import OutageError


class BusError(Exception):
    """Base of what the bus raises."""


class RetryableError(BusError):
    def __init__(self, reason: str, delay: float = 0.1) -> None:
        self.delay = delay
        super().__init__(reason)


class NotYetError(RetryableError):
    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not known here yet")


class BusyError(RetryableError, OutageError):
    """Another takes the message the sooner, the sooner it is given back."""


class PermanentError(BusError):
    """A message that can never be handled."""


class UnreadableError(PermanentError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"the message cannot be read: {reason}")


class PublishRefusedError(PermanentError):
    """`wires`: what was refused; all else that was to be published with it is."""

    def __init__(self, topic: str, reason: str, wires: tuple[Wire, ...] = ()) -> None:
        self.reason, self.wires = reason, wires
        super().__init__(f"{topic} refused a message: {reason}")


class NoAnswerError(BusError):
    def __init__(self, question: str, timeout: float) -> None:
        self.question = question
        super().__init__(f"{question} was not answered within {timeout:g} s")


class RefusedError(BusError):
    def __init__(self, refusal: CommandRefusedV1) -> None:
        self.refusal = refusal
        super().__init__(refusal.detail)


class TopologyError(BusError):
    """Pub/Sub could not be asked or did not do what it was asked."""

    def __init__(self, project: str, doing: str, error: Exception) -> None:
        super().__init__(
            f"{doing} in project {project} failed: {error}. Check the project id, "
            "PUBSUB_EMULATOR_HOST or the credentials, and the role roles/pubsub.editor"
        )


class TooManyQuestionsError(BusError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} questions are open already")
