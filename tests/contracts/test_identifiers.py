"""Identifiers in models: what is one stays, a text is checked, a wrong one is one error."""

import json

import pytest
from pydantic import BaseModel, ValidationError

from contracts.identifiers import RunId, TenantId

WORDS = "String should match pattern '^(?:[a-z][a-z0-9_]{2,49})$'"


class Given(BaseModel):
    tenant_id: TenantId
    other: TenantId | None = None


def test_what_is_an_identifier_is_taken_as_it_is() -> None:
    tenant = TenantId("acme")
    assert Given(tenant_id=tenant).tenant_id is tenant


@pytest.mark.parametrize("text", ["acme", RunId("0af76519-16cd-43dd-8448-eb211c80319c")])
def test_a_text_and_an_identifier_of_another_kind_are_checked(text: str) -> None:
    fits = TenantId.pattern.fullmatch(text) is not None
    try:
        found = Given.model_validate({"tenant_id": text}).tenant_id
    except ValidationError:
        assert not fits
    else:
        assert fits
        assert type(found) is TenantId


@pytest.mark.parametrize("field", ["tenant_id", "other"])
def test_a_wrong_one_is_one_error_in_the_same_words_however_it_came(field: str) -> None:
    values = {"tenant_id": "acme", field: "No!"}
    with pytest.raises(ValidationError) as as_values:
        Given.model_validate(values)
    with pytest.raises(ValidationError) as as_json:
        Given.model_validate_json(json.dumps(values))
    for caught in (as_values, as_json):
        (error,) = caught.value.errors()
        assert (error["loc"], error["msg"]) == ((field,), WORDS)
