"""Random UUIDs are what the standard library would call so."""

from uuid import RFC_4122, UUID

from libs.random_uuid import random_uuid


def test_they_are_of_version_4_and_none_comes_twice() -> None:
    made = [random_uuid() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        parsed = UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, RFC_4122, text)
