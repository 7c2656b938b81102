"""A file that a load cannot fetch now may be there in a moment; one that is wrong stays wrong."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from bqemulator.domain.errors import DomainError

from libs.local_cloud.bigquery_sources import local_files

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na,b\n"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A Cloud Storage that says this to whoever calls, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(answer)

        calling = Thread(target=serve, daemon=True)
        calling.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        calling.join(10)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "backendError"),
        (b"", "backendError"),
        (WHOLE[:-2], "backendError"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "notFound"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "invalid"),
    ],
    ids=["503", "killed before it answered", "killed while it answered", "no file", "no name"],
)
@pytest.mark.parametrize("name", ["part.csv", "part*.csv"])
def test_a_load_says_whether_trying_again_may_help(
    answer: bytes, reason: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(answer) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        with pytest.raises(DomainError) as caught, local_files([f"gs://files/{name}"]):
            pass
    assert caught.value.bq_reason == reason
    assert "://127" not in caught.value.message


def test_a_load_says_that_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free}")
    with pytest.raises(DomainError) as caught, local_files(["gs://files/part.csv"]):
        pass
    assert caught.value.bq_reason == "backendError"


def test_what_was_answered_whole_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(WHOLE) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        with local_files(["gs://files/part.csv"]) as (path,):
            assert Path(path).read_bytes() == b"a,b\n"
