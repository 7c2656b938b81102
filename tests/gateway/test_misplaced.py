"""A key in the wrong place is refused and not repeated; what only looks like one is not."""

import pytest

from contracts.identifiers import TenantId
from libs.web.problem import Problem
from services.gateway import keys
from services.gateway.misplaced import refuse_keys

KEY = keys.mint(TenantId("acme_api_co")).text
ADMIN = f"cvadm_{'x1Y-' * 10}"


@pytest.mark.parametrize("key", [KEY, ADMIN], ids=["a tenant's", "an operator's"])
@pytest.mark.parametrize(
    "around", ["{}", '{{"a": "{}"}}', "Bearer {}, and more", "x/{}/y", "\n{}\n"]
)
def test_a_key_is_refused_wherever_it_stands(key: str, around: str) -> None:
    with pytest.raises(Problem) as caught:
        refuse_keys(around.format(key), "body")
    assert (caught.value.status, caught.value.code) == (400, "invalid_request")
    assert key not in caught.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme_api_co",
        f"{KEY[:-1]}!",
        f"{KEY}1",
        KEY[:-1],
        "cvadm_",
        "{'cvadm_key': 1}",
        "sk-" * 9,
    ],
)
def test_what_is_no_key_of_ours_passes(text: str) -> None:
    refuse_keys(text, "body")
