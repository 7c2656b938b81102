"""W3C trace context, without a tracing library on the hot path."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
SAMPLED = "01"


@dataclass(frozen=True, slots=True)
class Trace:
    """One span of a trace, as `traceparent` carries it."""

    trace_id: str
    span_id: str
    flags: str = SAMPLED
    parent_id: str = ""
    """The span this one is part of; empty for the first of its trace."""

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def child(self) -> "Trace":
        return Trace(self.trace_id, secrets.token_hex(8), self.flags, self.span_id)


def new_trace() -> Trace:
    return Trace(secrets.token_hex(16), secrets.token_hex(8))


def parse(traceparent: str) -> Trace | None:
    """Read a `traceparent`; None when it is absent or malformed."""
    match = _FORM.fullmatch(traceparent)
    return Trace(*match.groups()) if match else None


def continue_trace(traceparent: str) -> Trace:
    """Return a child of the given span, or the start of a trace."""
    found = parse(traceparent)
    return found.child() if found else new_trace()


_CURRENT: ContextVar[str] = ContextVar("traceparent", default="")


@contextmanager
def entered(span: Trace) -> Iterator[None]:
    """Make a span the current one of this task, and of tasks it starts."""
    token = _CURRENT.set(str(span))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def outgoing(otherwise: str = "") -> str:
    """Return the `traceparent` to send along."""
    return _CURRENT.get() or otherwise
