"""Random ids are what the standard library would call so, and nobody else's."""

import os
from uuid import RFC_4122, UUID

from libs.randomness import random_digits, random_uuid


def test_they_are_of_version_4_and_none_comes_twice() -> None:
    made = [random_uuid() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        parsed = UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, RFC_4122, text)


def test_a_child_draws_its_own() -> None:
    random_digits()  # so that others are drawn already
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, random_digits().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        theirs = told.read()
    assert len(theirs) == len(random_digits())
    assert theirs not in {random_digits() for _ in range(1000)}
