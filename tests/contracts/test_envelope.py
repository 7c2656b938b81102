"""The envelope: what is put in comes out, and what is malformed is named."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Envelope, EnvelopeError, open_envelope, seal
from contracts.identifiers import InvalidIdentifierError, RunId, TenantId
from contracts.message import Kind
from contracts.ticks import TickJob, TickV1

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
texts = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=40)
times = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5.5))]))


@given(
    st.builds(
        Envelope,
        id=texts,
        type=texts,
        kind=st.sampled_from(Kind),
        source=texts,
        time=times,
        tenant_id=st.just(""),
        correlation_id=texts | st.just(""),
        causation_id=texts | st.just(""),
        sequence=st.integers(0, 2**53),
        to=texts | st.just(""),
        reply_to=texts | st.just(""),
        traceparent=texts | st.just(""),
    )
)
def test_an_envelope_survives_the_wire(envelope: Envelope) -> None:
    wire = seal(envelope, TickV1(job=TickJob.DAILY))
    assert open_envelope(wire.attributes, message_id="9", publish_time=NOW) == envelope


def test_a_tick_of_cloud_scheduler_takes_pubsubs_id_and_time() -> None:
    attributes = {"ce-type": "tick.v1", "ce-kind": "command", "ce-source": "ticks"}
    envelope = open_envelope(attributes, message_id="4711", publish_time=NOW)
    assert (envelope.id, envelope.time) == ("4711", NOW)


GOOD = {"ce-id": "1", "ce-type": "tick.v1", "ce-kind": "command", "ce-source": "ticks"}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("ce-type", None),
        ("ce-kind", None),
        ("ce-source", None),
        ("ce-kind", "gossip"),
        ("ce-time", "yesterday"),
        ("ce-time", "2026-01-01T00:00:00"),
        ("ce-sequence", "-1"),
    ],
)
def test_a_malformed_attribute_is_named(attribute: str, value: str | None) -> None:
    attributes = {k: v for k, v in {**GOOD, attribute: value}.items() if v is not None}
    with pytest.raises(EnvelopeError, match=attribute):
        open_envelope(attributes, message_id="1", publish_time=NOW)


@pytest.mark.parametrize("text", ["", "ab", "Acme", "1acme", "acme-cloud", "a" * 51, "acme\n"])
def test_what_is_no_tenant_id_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(InvalidIdentifierError, match="3 to 50 lower-case"):
        TenantId(text)


def test_identifiers_are_distinct_types() -> None:
    assert isinstance(TenantId("acme"), str)
    assert not isinstance(TenantId("acme"), RunId)
