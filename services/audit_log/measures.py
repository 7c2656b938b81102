"""How recording goes: what was written, how large, how late, and what is not written yet."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from libs.bus.router import Delivery
from libs.clock import Clock
from libs.telemetry import otel

PREFIX = "convergence.audit_log."


@dataclass(slots=True)
class Measures:
    """Of one process. `GET /metrics` says them, and a collector when there is one."""

    clock: Clock
    waiting: Callable[[], Iterable[Delivery]] = tuple
    """What was heard and is in no batch yet."""
    rows: int = 0
    batches: int = 0
    last_batch_rows: int = 0
    last_append_seconds: float = 0.0
    lag_seconds: float = 0.0
    """From when the oldest message of the last batch was published until it was written."""
    _open: dict[int, datetime] = field(default_factory=dict)

    @contextmanager
    def batch(self, deliveries: Sequence[Delivery]) -> Iterator[None]:
        """Counts the batch as written when the block ends well."""
        number, began = id(deliveries), time.perf_counter()
        oldest = min(delivery.envelope.time for delivery in deliveries)
        self._open[number] = oldest
        try:
            yield
        finally:
            del self._open[number]
        self.rows += len(deliveries)
        self.batches += 1
        self.last_batch_rows = len(deliveries)
        self.last_append_seconds = time.perf_counter() - began
        self.lag_seconds = (self.clock() - oldest).total_seconds()

    @property
    def oldest_unwritten_seconds(self) -> float:
        """Age of the oldest message that this process holds and has not written; 0 when none."""
        now = self.clock()
        times = (*self._open.values(), *(one.envelope.time for one in self.waiting()))
        return max(0.0, (now - min(times, default=now)).total_seconds())

    def export(self) -> None:
        for name, (_, unit, read) in self._all().items():
            otel.observe(PREFIX + name, read, unit)

    async def page(self, _request: web.Request) -> web.Response:
        """Prometheus text."""
        lines = []
        for name, (kind, _, read) in self._all().items():
            full = (PREFIX + name).replace(".", "_")
            lines += [f"# TYPE {full} {kind}", f"{full} {read()}"]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")

    def _all(self) -> dict[str, tuple[str, str, Callable[[], float]]]:
        return {
            "rows_total": ("counter", "1", lambda: self.rows),
            "batches_total": ("counter", "1", lambda: self.batches),
            "batch_rows": ("gauge", "1", lambda: self.last_batch_rows),
            "append_seconds": ("gauge", "s", lambda: self.last_append_seconds),
            "lag_seconds": ("gauge", "s", lambda: self.lag_seconds),
            "oldest_unwritten_seconds": ("gauge", "s", lambda: self.oldest_unwritten_seconds),
        }
