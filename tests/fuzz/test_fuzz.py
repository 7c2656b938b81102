"""Every target over its kept corpus, and over what hypothesis makes of it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
EXAMPLES = 150


def kept(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


@pytest.mark.parametrize("target", TARGETS)
def test_the_kept_corpus_holds(target: str) -> None:
    assert kept(target)
    for data in kept(target):
        TARGETS[target](data)


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with parts cut out, doubled, swapped for those of another, or overwritten."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        other = draw(st.sampled_from(seeds))
        at = draw(st.integers(0, len(other)))
        piece = draw(
            st.sampled_from([b"", data[start:end] * 2, other[at : at + 40]]) | st.binary(max_size=8)
        )
        data = data[:start] + piece + data[end:]
    return data


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_anything_is_answered_or_refused(target: str, data: st.DataObject) -> None:
    seeds = kept(target)
    TARGETS[target](data.draw(mutated(seeds) | st.binary(max_size=200)))
