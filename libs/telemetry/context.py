"""What is being worked on right now: bound once, written on every log line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_EMPTY: Mapping[str, str] = {}
_FIELDS: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default=_EMPTY)


def current() -> Mapping[str, str]:
    return _FIELDS.get()


@contextmanager
def bind(**fields: str) -> Iterator[None]:
    """Add fields to every log line of this task, and of tasks it starts."""
    token = _FIELDS.set({**_FIELDS.get(), **{k: v for k, v in fields.items() if v}})
    try:
        yield
    finally:
        _FIELDS.reset(token)
