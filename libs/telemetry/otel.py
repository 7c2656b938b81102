"""Whether spans and metrics leave this process: off, and free, unless a collector is named."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.telemetry import trace
from libs.telemetry.trace import Trace

if TYPE_CHECKING:
    from libs.telemetry.exporting import Exporting


@dataclass(slots=True)
class _State:
    exporting: "Exporting | None" = None


_STATE = _State()


def configure(service: str, endpoint: str) -> None:
    """Send spans and metrics to a collector; an empty endpoint leaves all of it off."""
    if endpoint:
        from libs.telemetry.exporting import to_collector  # noqa: PLC0415  half a second

        start(to_collector(service, endpoint))


def start(exporting: "Exporting") -> None:
    _STATE.exporting = exporting


def exports() -> bool:
    return _STATE.exporting is not None


def entered(name: Callable[[], str], of: Trace) -> AbstractContextManager[None]:
    """Make a span the current one, and record what happens inside of it."""
    if _STATE.exporting is None:
        return trace.entered(of)
    return _recorded(_STATE.exporting, name(), of)


@contextmanager
def _recorded(exporting: "Exporting", name: str, of: Trace) -> Iterator[None]:
    with trace.entered(of), exporting.span(name, of):
        yield


def observe(name: str, read: Callable[[], float], unit: str = "1") -> None:
    """Export what `read` says whenever metrics are sent."""
    if _STATE.exporting is not None:
        _STATE.exporting.observe(name, read, unit)


def shutdown() -> None:
    """Send what is still held, and export no more."""
    exporting, _STATE.exporting = _STATE.exporting, None
    if exporting is not None:
        exporting.shutdown()
