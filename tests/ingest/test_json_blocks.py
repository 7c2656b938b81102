"""Lines that Arrow reads at once say what the same lines say that are read row by row."""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.ingest.json_blocks import Known
from services.executor.ingest.json_columns import MixedError
from services.executor.ingest.json_rows import Decoder, NoJsonError

FIRST = (
    b'{"n": 1, "f": 0.5, "t": "a", "b": true, "l": [1], "r": {"x": "y"}, "none": null, "e": []}\n'
)
NUMBERS = st.sampled_from(["0", "-0", "7", "-3", "0.5", "1.0", "1e5", "1E-7", "123456789012345"])
ODD_NUMBERS = st.sampled_from(["12345678901234567", "0.1234567890123456789", "1e400", "1e-200"])
TEXTS = st.sampled_from(["a", "", "2026-10-01", "2026-10-01T00:00:00Z", "1", "ü", "{}", "[]"])
NAMES = st.sampled_from("abc")


def rendered(value: Any) -> str:
    """As JSON, but for numbers: these are texts of them already, in a list of one."""
    if isinstance(value, tuple):
        return str(value[0])
    if isinstance(value, list):
        return f"[{', '.join(map(rendered, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)}: {rendered(v)}' for k, v in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


SCALARS = st.none() | st.booleans() | st.tuples(NUMBERS) | st.tuples(ODD_NUMBERS) | TEXTS
KINDS: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        [st.none() | TEXTS, st.booleans(), st.none() | st.tuples(NUMBERS), TEXTS, SCALARS]
    ),
    lambda kinds: kinds.map(st.lists) | st.dictionaries(NAMES, kinds).map(st.fixed_dictionaries),
    max_leaves=4,
)


@st.composite
def files(draw: st.DrawFn) -> list[list[bytes]]:
    """Blocks whose columns are of one kind each, mostly, and may lack in a row."""
    kinds = {name: draw(KINDS) for name in "abcd"}
    row = st.fixed_dictionaries({}, optional=kinds)
    lines = row.map(lambda one: f"{rendered(one)}\n".encode())
    return draw(st.lists(st.lists(lines, min_size=1, max_size=4), min_size=2, max_size=4))


@given(files())
def test_lines_read_at_once_say_the_same(blocks: list[list[bytes]]) -> None:
    known = Known()
    for lines in blocks:
        quick, slow = known.read(lines), by_row(lines)
        if slow is None:
            assert quick is None
            return
        for frame in slow:
            known.learn(frame)
        if quick is not None:
            assert told([quick]) == told(slow)


def by_row(lines: Sequence[bytes]) -> list[pl.DataFrame] | None:
    decoder = Decoder()
    try:
        return list(decoder.frames(list(decoder.each(lines))))
    except (MixedError, NoJsonError):
        return None


def told(frames: Sequence[pl.DataFrame]) -> list[Any]:
    return [plain(row) for frame in frames for row in frame.to_dicts()]


def plain(value: Any) -> Any:
    """Without what is not there: a record of which no field is known yet is the text of it."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return {} if value == "{}" else value


def known_from(*lines: bytes) -> Known:
    known = Known()
    for frame in by_row(lines) or ():
        known.learn(frame)
    return known


@pytest.mark.parametrize(
    "line",
    [
        b'{"n": 2, "f": 1, "t": "2026-10-01", "b": false, "l": [], "r": {"x": null}}\n',
        b'{"t": "2026-10-01 00:00:00", "none": null, "e": []}\r\n',
        b'{"f": 0.1, "r": null}',
        b"{}\n",
        b'{"t": "Information, not NaN", "r": {"x": "\\u00fc\\u0000"}}\n',
    ],
)
def test_what_is_known_is_read_at_once(line: bytes) -> None:
    found = known_from(FIRST).read([FIRST, line])
    assert found is not None
    assert told([found]) == told(by_row([FIRST, line]) or ())


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"new": 1}\n'],
        [b'{"r": {"new": 1}}\n'],
        [b'{"n": 0.5}\n'],
        [b'{"n": "1"}\n'],
        [b'{"n": true}\n'],
        [b'{"f": 0.12345678901234567890}\n'],
        [b'{"f": 1e400}\n'],
        [b'{"f": NaN}\n'],
        [b'{"f":Infinity}\n'],
        [b'{"f": -Inf}\n'],
        [b'{"l": [ NaN]}\n'],
        [b'{"n": 01}\n'],
        [b'{"n": +1}\n'],
        [b'{"f": .5}\n'],
        [b'{"f": 1.}\n'],
        [b'{"n": 0x1}\n'],
        [b'{"b": True}\n'],
        [b"{'n': 1}\n"],
        [b'{"n": 1 /* one */}\n'],
        [b'{"t": "\x01"}\n'],
        [b'{"t": "\\x"}\n'],
        [b'{"n": 12345678901234567890}\n'],
        [b'{"t": 1}\n'],
        [b'{"t": {"x": 1}}\n'],
        [b'{"t": "\\ud800"}\n'],
        [b'{"t": "\xff"}\n'],
        [b'{"t": "\n"}\n'],
        [b'{"none": 1}\n'],
        [b'{"e": [1]}\n'],
        [b'{"n": 1, "n": 2}\n'],
        [b'{"n": 1} {"n": 2}\n', b'{"n":\n', b"3}\n"],
        [b'{"n": 1} {"n": 2}\n'],
        [b"[1]\n"],
        [b"1\n"],
        [b'{"n": 1,}\n'],
        [b'{"n": 1\n'],
    ],
    ids=lambda lines: str(b"".join(lines)),
)
def test_what_may_say_something_else_is_looked_at_row_by_row(lines: list[bytes]) -> None:
    assert known_from(FIRST).read([FIRST, *lines]) is None


def test_lists_of_nothing_but_nulls_are_as_long_as_they_are() -> None:
    lines = [b'{"e": [null, null]}\n', b'{"e": []}\n']
    assert known_from(*lines).read(lines) is None


def test_nothing_is_known_of_columns_that_have_had_several_kinds() -> None:
    known = known_from(FIRST)
    assert known.read([FIRST]) is not None
    for frame in by_row([b'{"n": "text"}\n']) or ():
        known.learn(frame)
    assert known.read([FIRST]) is None
