"""Ledgers take less memory when what all models of a kind have in common is there once."""

from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel

from services.scheduler.domain.ledger import Ledger


def compact(ledger: Ledger) -> Ledger:
    """The same ledger, as it was read: each model kept a set of its own of the fields it was given.

    Nothing asks for these sets, and copies of a model get one of their own again.
    """
    for model in _kept(ledger):
        object.__setattr__(model, "__pydantic_fields_set__", _fields(type(model)))
    return ledger


@cache
def _fields(kind: type[BaseModel]) -> set[str]:
    return set(kind.model_fields)


def _kept(ledger: Ledger) -> Iterator[BaseModel]:
    """All that there may be many of."""
    for config in ledger.configs.values():
        yield from (config, config.definition)
        for step in config.definition.steps:
            yield from (step, step.retry)
    for planned in ledger.schedules.values():
        yield from (planned, planned.schedule)
    for revisions in ledger.history.values():
        yield from revisions
    yield from ledger.ended.values()
