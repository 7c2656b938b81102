"""Days and moments that callers send are taken as the document says, and in no other way."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from services.gateway.api.endpoint import Body, Query
from services.gateway.api.groups import all_endpoints
from services.gateway.api.moments import Day, Moment
from services.gateway.api.signature import signature_of

DAYS = TypeAdapter[date](Day)
MOMENTS = TypeAdapter[datetime](Moment)


@pytest.mark.parametrize("text", ["2024-02-29", "0001-01-01", "9999-12-31"])
def test_a_day(text: str) -> None:
    assert DAYS.validate_python(text) == date.fromisoformat(text)
    assert DAYS.validate_json(json.dumps(text), strict=True) == date.fromisoformat(text)


@pytest.mark.parametrize(
    "text",
    ["", "0", "20000", "86400", "2026-3-14", "20260314", "2026-W11-6", "2026-03-14T00:00:00",
     "2026-02-30", " 2026-03-14", "2026-03-14\n", "٢٠٢٦-٠٣-١٤"],
)  # fmt: skip
def test_no_day(text: str) -> None:
    with pytest.raises(ValidationError):
        DAYS.validate_python(text)
    with pytest.raises(ValidationError):
        DAYS.validate_json(json.dumps(text), strict=True)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-03-14T09:30:00Z", datetime(2026, 3, 14, 9, 30, tzinfo=UTC)),
        ("2026-03-14t09:30:00z", datetime(2026, 3, 14, 9, 30, tzinfo=UTC)),
        ("2026-03-14T09:30:00.25+05:30", datetime(2026, 3, 14, 4, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-03-14T09:30:00-00:00", datetime(2026, 3, 14, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_kept_in_utc(text: str, meant: datetime) -> None:
    for found in (
        MOMENTS.validate_python(text),
        MOMENTS.validate_json(json.dumps(text), strict=True),
    ):
        assert (found, found.tzinfo) == (meant, UTC)


@pytest.mark.parametrize(
    "text",
    ["", "3", "1773480600", "2026-03-14", "2026-03-14T09:30:00", "0003-01-01T00:00Z",
     "2026-03-14_09:30:00Z", "2026-03-14 09:30:00Z", "2026-03-14T09:30:00+0530",
     "2026-03-14T24:00:00Z", "2026-03-14T09:30:00,5Z", "0001-01-01T00:00:00+23:59",
     "9999-12-31T23:59:59-00:01"],
)  # fmt: skip
def test_no_moment(text: str) -> None:
    with pytest.raises(ValidationError):
        MOMENTS.validate_python(text)
    with pytest.raises(ValidationError):
        MOMENTS.validate_json(json.dumps(text), strict=True)


def fields() -> Iterator[tuple[type[Query | Body], str, str]]:
    """Every field that callers send of which the document says that it is a day or a moment."""
    for _, function, _ in all_endpoints():
        signature = signature_of(function)
        for _, kind in filter(None, (signature.query, signature.body)):
            if not issubclass(kind, Query | Body):
                continue
            for name, schema in kind.model_json_schema()["properties"].items():
                for one in schema.get("anyOf", [schema]):
                    if one.get("format") in ("date", "date-time"):
                        yield kind, name, one["format"]


SENT = {(kind.__name__, name): (kind, form) for kind, name, form in fields()}
LOOSE = {"date": "2026-03-14T00:00:00", "date-time": "2026-03-14 09:30Z"}


@pytest.mark.parametrize(("model", "name"), SENT)
def test_no_endpoint_takes_more_than_the_document_says(model: str, name: str) -> None:
    kind, form = SENT[model, name]
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({name: LOOSE[form]})
    said = [one["msg"] for one in caught.value.errors() if one["loc"] == (name,)]
    assert [text for text in said if "as in 2026-03-14" in text], said


def test_there_are_such_fields() -> None:
    assert ("DeadLetterFilters", "from") in SENT
    assert ("OwnKeyBody", "expires_at") in SENT
    assert ("BackfillBody", "to") in SENT
