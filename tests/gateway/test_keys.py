"""API keys: their form is checked before anybody is asked."""

import pytest

from contracts.identifiers import TenantId
from libs.vault.keys import ALPHABET
from services.gateway.keys import mint, parse

ACME = TenantId("acme")


def test_a_minted_key_is_read_back_and_hashed_the_same() -> None:
    key = mint(ACME)
    found = parse(key.text)
    assert found == key
    assert found.hash(b"pepper") == key.hash(b"pepper") != key.hash(b"other")


@pytest.mark.parametrize("place", [-1, -3, -7, -20, 0])
def test_one_wrong_character_makes_it_no_key(place: int) -> None:
    text = list(mint(ACME).text)
    text[place] = "b" if text[place] == "a" else "a"
    assert parse("".join(text)) is None


@pytest.mark.parametrize(
    "text", ["", "acme", "acme_api_", "acme_api_" + "0" * 49, "x" * 10_000], ids=len
)
def test_garbage_is_no_key(text: str) -> None:
    assert parse(text) is None


def test_a_key_never_shows_itself() -> None:
    key = mint(ACME)
    assert key.text not in f"{key!r} {key}"
    assert set(key.text.removeprefix("acme_api_")) <= set(ALPHABET)
