"""The credentials that the catalogue asks for are those that can be stored, and that let us in."""

import pytest

from contracts.credentials import Provider
from contracts.templates import CredentialWayPart
from libs.outgoing.client import Outgoing, OutgoingRules
from services.executor.ingest.errors import IngestError
from services.executor.ingest.sources import Reach, remote
from services.gateway.credentials import SHAPES
from services.scheduler.templates.library import Library

FOUND = [one.about for one in Library.packaged()]
WAYS = list(dict.fromkeys(w for one in FOUND for need in one.credentials for w in need.any_of))
FILES = {
    "s3://": "s3://bucket/a",
    "gs://": "gs://bucket/a",
    "az://": "az://account1/container/a",
    "https://": "https://example.com/a.csv",
}
OUTGOING = Outgoing(OutgoingRules())


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_is_asked_for_is_what_must_be_stored(way: CredentialWayPart) -> None:
    if way.provider is Provider.GENERIC:  # takes whatever it is given
        assert SHAPES[way.provider].model_validate(dict.fromkeys(way.fields, "x"))
        return
    shape = SHAPES[way.provider].model_fields
    assert set(way.fields) == {name for name, field in shape.items() if field.is_required()}


@pytest.mark.parametrize(
    "way", [w for w in WAYS if w.to in FILES and w.provider is not Provider.GCP], ids=str
)
async def test_files_are_reached_by_what_is_asked_for(way: CredentialWayPart) -> None:
    fields = dict.fromkeys(way.fields, "x")
    place, _ = remote(FILES[way.to], Reach(OUTGOING, fields, "https://login.example.com"))
    assert place.name
    if way.provider is Provider.AZURE:
        del fields[way.fields[-1]]
        with pytest.raises(IngestError, match=way.fields[-1]):
            remote(FILES[way.to], Reach(OUTGOING, fields, "https://login.example.com"))


def test_every_template_that_takes_a_credential_says_so() -> None:
    taking = {str(one.ref) for one in FOUND if "credential" in one.parameters["properties"]}  # type: ignore[operator]
    assert taking == {str(one.ref) for one in FOUND if one.credentials}
    assert taking >= {"aws/cost/cur", "openai/cost/costs"}
    apis = {str(one.ref): one.credentials[0] for one in FOUND if str(one.ref).endswith("/costs")}
    need = apis["openai/cost/costs"]
    assert (need.parameter, need.required) == ("credential", True)
    assert [(w.to, w.provider, w.fields) for w in need.any_of] == [
        ("https://api.openai.com/v1", Provider.OPENAI, ("api_key",))
    ]
