"""What looks like a secret is masked; words that only look a little like one are left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.telemetry.logs import SECRET, mask

PROVIDERS = "sk-proj-4fG7kQ2mXz9RtLw8"


@pytest.mark.parametrize("around", ["{}", "x={}", '"{}"', "key\n{}", r"key\n{}", "key_{}", "the{}"])
def test_a_providers_key_is_masked_wherever_it_stands(around: str) -> None:
    assert mask(around.format(PROVIDERS)) == around.format("sk-…")


def test_a_word_by_itself_is_masked_too() -> None:
    assert mask("with sk-canary-of-letters-only") == "with sk-…"


@pytest.mark.parametrize(
    "text", ["task-management-table", "the disk-usage-by-department", "risk-weighted_assets.daily"]
)
def test_a_word_that_ends_in_sk_keeps_what_follows(text: str) -> None:
    assert mask(text) == text


BEGINNINGS = ("acme_api_", "cvadm_", "Bearer ", "Bearer", "sk-", "-----BEGIN RSA KEY-----", "-----")
PIECES = st.one_of(st.sampled_from(BEGINNINGS), st.just("4fG7kQ2mXz9RtLw8"), st.text(max_size=20))


@given(st.lists(PIECES, max_size=6).map("".join))
def test_no_secret_is_missed_by_the_look_that_comes_first(text: str) -> None:
    assert bool(SECRET.search(text)) == (mask(text) != text)
