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
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40)
# The first and last day of the calendar have no UTC equivalent in every zone.
times = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001  the strategy adds the zone
    datetime(9999, 12, 30),  # noqa: DTZ001  the same
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5.5)), timezone(timedelta(hours=-9))]),
)
optional = texts | st.just("")
envelopes = st.builds(
    Envelope,
    id=texts,
    type=texts,
    kind=st.sampled_from(Kind),
    source=texts,
    time=times,
    tenant_id=st.from_regex(TenantId.pattern, fullmatch=True) | st.just(""),
    correlation_id=optional,
    causation_id=optional,
    sequence=st.integers(0, 2**53),
    to=optional,
    reply_to=optional,
    expires=st.none() | times,
    traceparent=optional,
)


@given(envelopes)
def test_an_envelope_survives_the_wire(envelope: Envelope) -> None:
    wire = seal(envelope, TickV1(job=TickJob.DAILY))
    assert open_envelope(wire.attributes, message_id="9", publish_time=NOW) == envelope
    assert wire.ordering_key == envelope.tenant_id
    assert all(wire.attributes.values())


@given(envelopes, texts, times)
def test_without_id_and_time_pubsubs_are_taken(
    envelope: Envelope, message_id: str, publish_time: datetime
) -> None:
    wire = seal(envelope, TickV1(job=TickJob.TRIGGER))
    fixed = {k: v for k, v in wire.attributes.items() if k not in {"ce-id", "ce-time"}}
    found = open_envelope(fixed, message_id=message_id, publish_time=publish_time)
    assert (found.id, found.time) == (message_id, publish_time)
    assert (found.type, found.kind, found.to) == (envelope.type, envelope.kind, envelope.to)


GOOD = {"ce-id": "1", "ce-type": "tick.v1", "ce-kind": "command", "ce-source": "ticks"}
READ = [
    *("ce-specversion", "ce-type", "ce-kind", "ce-source"),
    *("ce-time", "ce-expirytime", "ce-sequence"),
]


@given(st.dictionaries(st.sampled_from(READ), st.text(max_size=30)))
def test_whatever_arrives_is_read_or_refused_by_name(noise: dict[str, str]) -> None:
    refused = ""
    try:
        found = open_envelope({**GOOD, **noise}, message_id="1", publish_time=NOW)
        assert found.time.utcoffset() == timedelta(0)
    except EnvelopeError as error:
        refused = error.attribute
    assert refused in {"", *noise}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("ce-type", None),
        ("ce-kind", None),
        ("ce-source", None),
        ("ce-type", ""),
        ("ce-kind", "gossip"),
        ("ce-specversion", "0.3"),
        ("ce-time", ""),
        ("ce-time", "yesterday"),
        ("ce-time", "2026-01-01T00:00:00"),
        ("ce-time", "0001-01-01T00:00:00+05:30"),
        ("ce-expirytime", "soon"),
        ("ce-sequence", "-1"),
        ("ce-sequence", "1.5"),
        ("ce-sequence", "٣"),
        ("ce-sequence", "9" * 5000),
    ],
)
def test_a_malformed_attribute_is_named(attribute: str, value: str | None) -> None:
    attributes = {k: v for k, v in {**GOOD, attribute: value}.items() if v is not None}
    with pytest.raises(EnvelopeError, match=f"attribute {attribute}: expected") as caught:
        open_envelope(attributes, message_id="1", publish_time=NOW)
    assert caught.value.attribute == attribute
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["", "ab", "Acme", "1acme", "acme-cloud", "a" * 51, "acme\n"])
def test_what_is_no_tenant_id_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(InvalidIdentifierError, match="3 to 50 lower-case"):
        TenantId(text)


def test_identifiers_are_distinct_types() -> None:
    assert isinstance(TenantId("acme"), str)
    assert not isinstance(TenantId("acme"), RunId)
