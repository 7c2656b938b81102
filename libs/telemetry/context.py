"""What is being worked on right now: bound once, written on every log line."""

from collections.abc import Mapping
from contextvars import ContextVar, Token

from libs.telemetry import trace

_EMPTY: Mapping[str, str] = {}
_FIELDS: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default=_EMPTY)


def current() -> Mapping[str, str]:
    """With the id of the trace, where there is one."""
    fields, trace_id = _FIELDS.get(), trace.current_id()
    return {"trace_id": trace_id, **fields} if trace_id else fields


class bind:  # noqa: N801  used as a function is; a generator would cost three times as much
    """Add fields to every log line of this task, and of tasks it starts."""

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: str) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        new = {name: value for name, value in self._fields.items() if value}
        self._token: Token[Mapping[str, str]] = _FIELDS.set({**_FIELDS.get(), **new})

    def __exit__(self, *_: object) -> None:
        _FIELDS.reset(self._token)
