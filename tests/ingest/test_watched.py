"""What is seen of a file's bytes on their way to the parser, wherever its pieces meet."""

import csv
from contextlib import suppress
from io import BytesIO, StringIO
from threading import Event, Thread

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


def test_who_leaves_waits_for_the_read_that_is_under_way() -> None:
    begun, go_on, left = Event(), Event(), Event()

    class Slow:
        def read(self, _: int) -> bytes:
            begun.set()
            go_on.wait()
            return b"a"

    def leave() -> None:
        watched.__exit__()
        left.set()

    watched = Watched(Slow(), "utf-8")
    threads = [Thread(target=watched.read, args=(1,)), Thread(target=leave)]
    threads[0].start()
    begun.wait()
    threads[1].start()
    assert not left.wait(0.1)
    go_on.set()
    for thread in threads:
        thread.join()
    assert left.is_set()
    begun.clear()
    assert watched.read(1) == b""
    assert not begun.is_set()


def test_other_encodings_are_left_to_the_parser() -> None:
    assert Watched(BytesIO(b"\xff"), "latin-1").read(1) == b"\xff"


@given(st.text('"",\n\ra', max_size=12), SIZES)
def test_a_quote_that_is_closed_too_early_is_never_missed(text: str, size: int) -> None:
    assert _is_doubtful(text.encode(), size) or not _is_stray(text)


@given(st.lists(st.tuples(*[st.text('",\n\ra', max_size=4)] * 2), max_size=4), SIZES)
def test_quotes_as_programs_write_them_are_not_doubted(rows: list[list[str]], size: int) -> None:
    text = StringIO()
    csv.writer(text).writerows(rows)
    assert not _is_doubtful(text.getvalue().encode("utf-8-sig"), max(size, 3))


def test_quotes_are_judged_where_their_bytes_are_theirs_alone() -> None:
    for encoding, doubted in {
        "latin-1": False,
        "cp1252": False,
        "utf-16": True,
        "sjis": True,
    }.items():
        watched = Watched(BytesIO('a\n"b"\n'.encode(encoding)), encoding)
        while watched.read(64):
            pass
        assert watched.quotes.doubtful is doubted


def _is_doubtful(content: bytes, size: int) -> bool:
    watched = Watched(BytesIO(content), "utf-8")
    while watched.read(size):
        pass
    return watched.quotes.doubtful


def _is_stray(text: str) -> bool:
    try:
        list(csv.reader(StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        return "expected after" in str(error)
    return False


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
