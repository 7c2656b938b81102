"""W3C trace context, without a tracing library on the hot path."""

import re
from contextvars import ContextVar, Token
from typing import NamedTuple

from libs.randomness import random_digits

_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
SAMPLED = "01"


class Trace(NamedTuple):
    """One span of a trace, as `traceparent` carries it."""

    trace_id: str
    span_id: str
    flags: str = SAMPLED
    parent_id: str = ""
    """The span this one is part of; empty for the first of its trace."""

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def child(self) -> "Trace":
        return Trace(self.trace_id, random_digits()[:16], self.flags, self.span_id)


def new_trace() -> Trace:
    return Trace(random_digits(), random_digits()[:16])


def parse(traceparent: str) -> Trace | None:
    """Read a `traceparent`; None when it is absent or malformed."""
    match = _FORM.fullmatch(traceparent)
    return Trace(*match.groups()) if match else None


def continue_trace(traceparent: str) -> Trace:
    """Return a child of the given span, or the start of a trace."""
    found = parse(traceparent) if traceparent else None
    return found.child() if found else new_trace()


_CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)


def enter(span: Trace) -> None:
    """Make a span the current one until its task ends, and of tasks that this one starts."""
    _CURRENT.set(span)


class entered:  # noqa: N801  used as a function is; a generator would cost three times as much
    """Make a span the current one of this task, and of tasks it starts."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Trace) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._token: Token[Trace | None] = _CURRENT.set(self._span)

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._token)


def outgoing(otherwise: str = "") -> str:
    """Return the `traceparent` to send along."""
    span = _CURRENT.get()
    return str(span) if span else otherwise


def current_id() -> str:
    """Of the trace that is being worked on; empty outside of any."""
    span = _CURRENT.get()
    return span.trace_id if span else ""
