"""What of a credential goes into a header has no line breaks: nothing is added to a call."""

import pytest

from libs.outgoing.client import Call, Outgoing, OutgoingRules
from services.executor.ingest.api_source import BasicAuth, BearerAuth, HeaderAuth
from services.executor.ingest.authorize import BadCredentialError, authorizer
from tests.tenancy.secrets_of_tests import CANARY

BEARER = BearerAuth(kind="bearer", credential="one", field="token")
HEADER = HeaderAuth(kind="header", credential="one", header="X-Key", field="token")
BASIC = BasicAuth.model_validate({"kind": "basic", "credential": "one", "user_field": "token"})
OUTGOING = Outgoing(OutgoingRules())


@pytest.mark.parametrize("auth", [BEARER, HEADER], ids=["bearer", "header"])
@pytest.mark.parametrize("end", ["\r\nX-Other: 1", "\n", "\x00"], ids=repr)
def test_a_field_of_several_lines_is_refused_by_name(
    auth: BearerAuth | HeaderAuth, end: str
) -> None:
    with pytest.raises(BadCredentialError) as refused:
        authorizer(auth, {"token": CANARY + end}, OUTGOING, "")
    assert "field 'token'" in str(refused.value)
    assert CANARY not in str(refused.value)


async def test_what_is_encoded_may_have_them() -> None:
    let_in = authorizer(BASIC, {"token": "a\nb", "password": "c"}, OUTGOING, "")
    call = await let_in.authorized(Call("GET", "https://example.com"))
    assert call.headers["Authorization"] == "Basic YQpiOmM="
