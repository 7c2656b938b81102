"""What is seen of a file's bytes on their way to the parser, wherever its pieces meet."""

from contextlib import suppress
from io import BytesIO

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from services.executor.ingest.gaps import Watched

SIZES = st.integers(1, 5)


def test_an_empty_line_is_seen_where_pieces_of_a_file_meet() -> None:
    watched = Watched(BytesIO(b"a,b\n\n1,2\n"), "utf-8")
    assert b"".join(iter(lambda: watched.read(4), b"")) == b"a,b\n\n1,2\n"
    assert watched.gaps


@given(st.text("\n\rab", max_size=12).map(str.encode), SIZES)
def test_an_empty_line_is_seen_wherever_it_stands(text: bytes, size: int) -> None:
    watched = Watched(BytesIO(text), "utf-8")
    while watched.read(size):
        pass
    assert watched.gaps == any(empty in text for empty in (b"\n\n", b"\n\r", b"\r\r"))


@given(st.text("\naä€😀", max_size=12).map(str.encode), st.binary(max_size=3), SIZES)
def test_what_is_no_utf_8_is_refused_wherever_it_stands(text: bytes, odd: bytes, size: int) -> None:
    for content in (text, text + odd, odd + text):
        assert _is_read(content, size) == _is_utf_8(content)


def test_other_encodings_are_left_to_the_parser() -> None:
    assert Watched(BytesIO(b"\xff"), "latin-1").read(1) == b"\xff"


def _is_read(content: bytes, size: int) -> bool:
    watched = Watched(BytesIO(content), "utf-8")
    with suppress(pa.ArrowInvalid):
        assert b"".join(iter(lambda: watched.read(size), b"")) == content
        return True
    return False


def _is_utf_8(content: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        return bool(content.decode()) or not content
    return False
