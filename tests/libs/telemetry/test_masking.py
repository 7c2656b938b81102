"""What looks like a secret is masked; words that only look a little like one are left."""

import pytest

from libs.telemetry.logs import mask

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
