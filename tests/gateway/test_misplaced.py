"""A key in the wrong place is refused and not repeated; what only looks like one is not."""

import pytest

from contracts.identifiers import TenantId
from libs.web.problem import Problem
from services.gateway import keys
from services.gateway.misplaced import MOST_LOOKALIKES, refuse_keys

KEY = keys.mint(TenantId("acme_api_co")).text
ADMIN = f"cvadm_{'x1Y-' * 10}"


@pytest.mark.parametrize("key", [KEY, ADMIN], ids=["a tenant's", "an operator's"])
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        '{{"a": "{}"}}',
        "Bearer {}, and more",
        "x/{}/y",
        "\n{}\n",
        r'{{"a": "x\n{}\n"}}',
        r'{{"a": "x\t{}"}}',
        r'{{"a": "\u00e9{}\u00e9"}}',
        "key_{}",
        "api_key_is_{}",
        "1{}2",
        "aa_api_bb_{}_api_cc",
    ],
)
def test_a_key_is_refused_wherever_it_stands(key: str, around: str) -> None:
    with pytest.raises(Problem) as caught:
        refuse_keys(around.format(key), "body")
    assert (caught.value.status, caught.value.code) == (400, "invalid_request")
    assert key not in caught.value.detail


@pytest.mark.parametrize("key", [KEY, ADMIN], ids=["a tenant's", "an operator's"])
@pytest.mark.parametrize(
    "escape", [r"\u{:04x}", r"\u{:04X}", r"\x{:02x}", r"\U{:08x}", r"\\u{:04x}"]
)
@pytest.mark.parametrize("place", [0, 2, 6, -1], ids=["first", "in it", "underscore", "last"])
def test_a_key_is_refused_however_it_is_escaped(key: str, escape: str, place: int) -> None:
    written = list(key)
    written[place] = escape.format(ord(key[place]))
    with pytest.raises(Problem):
        refuse_keys('{"a": "' + "".join(written) + '"}', "body")


def test_so_many_that_look_like_keys_are_no_way_past_the_look() -> None:
    lookalike = f"{KEY[:-1]}{'1' if KEY[-1] == '0' else '0'} "
    refuse_keys(lookalike * MOST_LOOKALIKES, "body")
    with pytest.raises(Problem):
        refuse_keys(lookalike * (MOST_LOOKALIKES + 1), "body")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme_api_co",
        f"{KEY[:-1]}!",
        KEY[:-1],
        "cvadm_",
        "{'cvadm_key': 1}",
        "sk-" * 9,
    ],
    ids=[
        "empty",
        "a tenant's id",
        "a wrong last sign",
        "one short",
        "a prefix",
        "a field",
        "words",
    ],
)
def test_what_is_no_key_of_ours_passes(text: str) -> None:
    refuse_keys(text, "body")
