"""What deployment finds different, and the errors it ends with."""

from dataclasses import dataclass
from typing import Protocol


class ProvisioningError(RuntimeError):
    """The cloud could not be asked or did not do what it was asked."""

    def __init__(self, doing: str, error: Exception) -> None:
        super().__init__(f"{doing} failed: {type(error).__name__}: {str(error)[:500]}")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between what is and what should be."""

    what: str
    by_hand: bool = False
    """For a person to decide; applying leaves it alone."""

    def __str__(self) -> str:
        return self.what


class Part(Protocol):
    """Something that can be compared with what is declared, and brought up to date.

    Blocking. Both raise `ProvisioningError`; applying may be repeated, also after
    it failed half-way.
    """

    def diff(self) -> list[Change]: ...

    def apply(self) -> list[Change]: ...
