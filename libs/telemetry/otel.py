"""OpenTelemetry traces and metrics over OTLP/HTTP; off, and free, unless configured."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from libs.telemetry.trace import Trace

_OFF: AbstractContextManager[None] = nullcontext()
_METRICS_SECONDS = 30.0


@dataclass(slots=True)
class _Exporting:
    """What is set up once when a collector is configured."""

    provider: Any = None
    tracer: Any = None
    durations: Any = None


_EXPORTING = _Exporting()


def configure(service: str, endpoint: str, *, exporter: Any = None) -> None:
    """Send spans and metrics to a collector; an empty endpoint leaves all of it off."""
    if not endpoint and exporter is None:
        return
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  half a second of imports
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": f"convergence-{service}"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter or _span_exporter(endpoint)))
    _EXPORTING.provider = provider
    _EXPORTING.tracer = provider.get_tracer("convergence")
    if endpoint:
        _EXPORTING.durations = _histogram(endpoint, resource)


def _span_exporter(endpoint: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    return OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")


def _histogram(endpoint: str, resource: Any) -> Any:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415

    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics"),
        export_interval_millis=_METRICS_SECONDS * 1000,
    )
    meter = MeterProvider([reader], resource=resource).get_meter("convergence")
    return meter.create_histogram("convergence.duration", unit="s")


def span(name: str, of: Trace) -> AbstractContextManager[None]:
    """Record what happens inside as a span; costs nothing when tracing is off."""
    return _OFF if _EXPORTING.tracer is None else _recorded(name, of)


@contextmanager
def _recorded(name: str, of: Trace) -> Iterator[None]:
    from opentelemetry import trace as api  # noqa: PLC0415

    parent = api.SpanContext(
        int(of.trace_id, 16), int(of.span_id, 16), is_remote=True, trace_flags=api.TraceFlags(1)
    )
    context = api.set_span_in_context(api.NonRecordingSpan(parent))
    started = time.perf_counter()
    try:
        with _EXPORTING.tracer.start_as_current_span(name, context=context):
            yield
    finally:
        if _EXPORTING.durations is not None:
            _EXPORTING.durations.record(time.perf_counter() - started, {"name": name})


def shutdown() -> None:
    """Send what is still held; call once at the end."""
    if _EXPORTING.provider is not None:
        _EXPORTING.provider.shutdown()
