"""A paged mapping is what a dictionary would be, whatever is done to it, and leaves what was."""

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from services.scheduler.domain.paging import PAGE, PagedDict

KEYS = st.integers(0, 3 * PAGE)
STEPS = st.lists(
    st.tuples(st.just("add"), KEYS, st.integers()) | st.tuples(st.just("keep"), KEYS, st.just(0)),
    max_size=60,
)


class Holder(BaseModel):
    held: PagedDict[int, str]


@given(st.integers(0, 3 * PAGE), STEPS)
@settings(max_examples=200)
def test_it_is_what_a_dictionary_would_be(size: int, steps: list[tuple[str, int, int]]) -> None:
    plain = {key: -key for key in range(size)}
    paged = PagedDict(plain)
    for what, key, value in steps:
        before, was = paged, dict(plain)
        if what == "add":
            plain[key] = value
            paged = paged.having(key, value)
        else:
            plain = dict(list(plain.items())[-key:] if key else [])
            paged = paged.newest(key)
        assert list(paged.plain().items()) == list(plain.items())
        assert (list(paged), len(paged)) == (list(plain), len(plain))
        assert paged.get(key) == plain.get(key)
        assert (key in paged) == (key in plain)
        assert before.plain() == was
    assert paged == plain


def test_nothing_but_the_newest_page_is_copied() -> None:
    first = PagedDict({key: object() for key in range(10 * PAGE)})
    second = first.having(-1, object()).newest(10 * PAGE)
    assert [a is b for a, b in zip(first._pages, second._pages, strict=False)] == [
        False,
        *[True] * 9,
    ]
    assert (0 in second, 1 in second, -1 in second) == (False, True, True)


def test_as_json_it_is_an_object() -> None:
    holder = Holder(held=PagedDict({1: "one", 2: "two"}))
    written = holder.model_dump_json()
    assert written == '{"held":{"1":"one","2":"two"}}'
    assert holder.model_dump() == {"held": {1: "one", 2: "two"}}
    assert Holder.model_validate_json(written) == holder
    assert Holder.model_validate({"held": {"1": "one", "2": "two"}}) == holder
    assert Holder(held=holder.held).held is holder.held
