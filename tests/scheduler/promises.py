"""What the scheduler promises, by name: a test that catches something says which was broken."""

from enum import StrEnum


class Promise(StrEnum):
    LIMITS = "no limit is exceeded at any moment"
    ONCE = "each request is decided once"
    JUSTIFIED = "only a limit that is reached refuses: as much is accepted as is asked and allowed"
    CHARGED = "what is accepted is charged to its day and month, and a refund goes back there"
    FINAL = "what has ended stays as it ended"
    ATTEMPTS = "attempts follow one another, and only of what goes on"
    SUSPENDED = "a suspended tenant starts nothing"
    LIVE_FIRST = "a backfill takes nothing that live work needs"
    BACKFILLED = "a backfill runs each of its days once, and comes to its end"
    ON_TIME = "each due time of a schedule is acted on, or told as missed"
    NOTHING_LOST = "all that was decided is published, and each request is answered"
    NOTHING_LEAKED = "in the end all slots and places are free, and nobody is to look again"
    REASONED = "each decision says why"
    AGREED = "the ledger is what was said of it"
    WRITTEN_ONCE = "a slot of the log is written once"


class BrokenPromiseError(AssertionError):
    def __init__(self, promise: Promise, detail: str) -> None:
        self.promise = promise
        super().__init__(f"{promise.name}: {promise.value}. {detail}")


def keep(promise: Promise, holds: bool, detail: object = "") -> None:  # noqa: FBT001  reads as a sentence
    if not holds:
        raise BrokenPromiseError(promise, str(detail))
