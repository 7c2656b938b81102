"""What goes wrong for a client.

ConvergenceError
├── ApiError               the gateway refused; it says why
└── ConnectionFailedError  the gateway could not be reached
"""

from collections.abc import Mapping, Sequence
from typing import Any


class ConvergenceError(Exception):
    """Base of what this package raises."""


class ApiError(ConvergenceError):
    """A problem document of the gateway."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(body.get("code", ""))
        self.detail = str(body.get("detail", f"HTTP {status}"))
        self.errors: Sequence[Mapping[str, Any]] = body.get("errors", ())
        self.trace_id = str(body.get("trace_id", ""))
        super().__init__(self.detail)


class ConnectionFailedError(ConvergenceError):
    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url} does not answer ({reason}); is it running, and is the URL right?")
