"""OpenTelemetry traces and metrics; imported only where a collector is configured.

Spans take the ids that travel in `traceparent`, so that what one service exports
is the parent that the next one names. Of an error only its class is exported:
its text may quote what must not leave.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from libs.telemetry.trace import Trace

SCOPE = "convergence"
METRICS_SECONDS = 30.0
_GIVEN: ContextVar[Trace | None] = ContextVar("given", default=None)


class Exporting:
    """Hands spans and their durations to an exporter and a reader."""

    def __init__(self, service: str, spans: SpanExporter, metrics: MetricReader) -> None:
        resource = Resource.create({"service.name": f"convergence-{service}"})
        self._spans = TracerProvider(resource=resource, id_generator=_GivenIds())
        self._spans.add_span_processor(BatchSpanProcessor(spans))
        self._metrics = MeterProvider([metrics], resource=resource)
        self._tracer = self._spans.get_tracer(SCOPE)
        self._meter = self._metrics.get_meter(SCOPE)
        self._durations = self._meter.create_histogram("convergence.duration", unit="s")

    @contextmanager
    def span(self, name: str, of: Trace) -> Iterator[None]:
        recorded = self._started(name, of)
        began = time.perf_counter()
        try:
            yield
        except BaseException as error:
            recorded.set_status(api.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            recorded.end()
            self._durations.record(time.perf_counter() - began, {"name": name})

    def observe(self, name: str, read: Callable[[], float], unit: str) -> None:
        self._meter.create_observable_gauge(
            name, callbacks=[lambda _: [Observation(read())]], unit=unit
        )

    def shutdown(self) -> None:
        """Send what is held; blocks until it is sent or given up."""
        self._spans.shutdown()
        self._metrics.shutdown()

    def _started(self, name: str, of: Trace) -> api.Span:
        token = _GIVEN.set(of)
        try:
            return self._tracer.start_span(name, context=_context(of))
        finally:
            _GIVEN.reset(token)


class _GivenIds(IdGenerator):
    """The ids of the span that is being started."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        given = _GIVEN.get()
        return int(given.span_id, 16) if given else self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        given = _GIVEN.get()
        return int(given.trace_id, 16) if given else self._random.generate_trace_id()


def to_collector(service: str, endpoint: str) -> Exporting:
    """Export over OTLP/HTTP."""
    return Exporting(
        service,
        OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces"),
        PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics"),
            export_interval_millis=METRICS_SECONDS * 1000,
        ),
    )


def _context(of: Trace) -> Context:
    if not of.parent_id:
        return Context()
    parent = api.SpanContext(
        int(of.trace_id, 16),
        int(of.parent_id, 16),
        is_remote=True,
        trace_flags=api.TraceFlags(int(of.flags, 16)),
    )
    return api.set_span_in_context(api.NonRecordingSpan(parent), Context())
