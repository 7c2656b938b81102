"""Google's own client against the Cloud Storage emulator: what objects contain."""

import gzip
import os

import pytest
import requests
from google.api_core.exceptions import (
    BadRequest,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
)
from google.cloud.storage import Bucket

from libs.testing.processes import EmulatorProcess
from tests.libs.local_cloud.storage_suite import (
    BIG,
    CHUNK,
    MIB,
    address,
    bucket,
    client,
    put,
    running,
)

__all__ = ["bucket", "client", "running"]


@pytest.mark.parametrize("body", [b"", b"x", b"\r\n--==\r\n\r\n--", BIG], ids=len)
def test_a_body_comes_back_as_it_went(bucket: Bucket, body: bytes) -> None:
    blob = put(bucket, "dir/größe und ?#%.bin", body)
    found = bucket.get_blob("dir/größe und ?#%.bin")
    assert found is not None
    assert found.download_as_bytes(checksum="crc32c") == body
    assert found.download_as_bytes(checksum="md5") == body
    assert (found.size, found.md5_hash, found.etag) == (len(body), blob.md5_hash, blob.etag)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 0), (5, 9), (MIB - 1, MIB), (MIB + 5, None), (0, len(BIG) * 2), (-10, None)],
    ids=["first", "middle", "seam", "open", "too-far", "last"],
)
@pytest.mark.parametrize("size", [MIB // 2, len(BIG)], ids=["small", "big"])
def test_a_range_is_a_slice(bucket: Bucket, size: int, start: int, end: int | None) -> None:
    body = BIG[:size]
    blob = put(bucket, "a", body)
    if start >= size:
        with pytest.raises(RequestRangeNotSatisfiable):
            blob.download_as_bytes(start=start, end=end)
        return
    expected = body[start : None if end is None else end + 1]
    assert blob.download_as_bytes(start=start, end=end) == expected


def test_a_reader_reads_a_big_object_chunk_by_chunk(bucket: Bucket) -> None:
    put(bucket, "a", BIG)
    with bucket.blob("a").open("rb", chunk_size=CHUNK) as file:
        file.seek(MIB - 3)
        assert file.read(10) == BIG[MIB - 3 : MIB + 7]
        assert file.read() == BIG[MIB + 7 :]


@pytest.mark.parametrize("text", [b"date,cost\n" * 5, b"0123456789abcdef" * (MIB // 4)], ids=len)
def test_a_packed_object_is_unpacked_for_who_cannot(
    running: EmulatorProcess, bucket: Bucket, text: bytes
) -> None:
    packed = gzip.compress(text)
    blob = bucket.blob("a.csv")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed, content_type="text/csv")
    assert blob.download_as_bytes() == text
    assert blob.download_as_bytes(raw_download=True) == packed
    plain = requests.get(
        f"{address(running)}/storage/v1/b/{bucket.name}/o/a.csv?alt=media",
        headers={"Accept-Encoding": "identity"},
        timeout=60,
    )
    assert "Content-Encoding" not in plain.headers
    assert plain.content == text


def test_what_an_object_is_replaced_by_does_not_disturb_who_reads_it(
    running: EmulatorProcess, bucket: Bucket
) -> None:
    body = os.urandom(24 * MIB)
    put(bucket, "a", body)
    url = f"{address(running)}/storage/v1/b/{bucket.name}/o/a?alt=media"
    with requests.get(url, stream=True, timeout=60) as reading:
        begun = reading.raw.read(MIB)
        put(bucket, "a", b"new")
        assert begun + reading.raw.read() == body
    assert bucket.blob("a").download_as_bytes() == b"new"


def test_a_copy_stands_on_its_own(bucket: Bucket) -> None:
    source = put(bucket, "a", BIG, content_type="text/csv")
    copy = bucket.copy_blob(source, bucket, "b")
    again = bucket.blob("c")
    again.rewrite(source)
    source.delete()
    copy.delete()
    assert again.download_as_bytes() == BIG
    found = bucket.get_blob("c")
    assert found is not None
    assert (found.content_type, found.crc32c) == ("text/csv", source.crc32c)


def test_a_copy_keeps_preconditions(bucket: Bucket) -> None:
    source = put(bucket, "a", b"new")
    put(bucket, "b", b"there")
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(source, bucket, "b", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(source, bucket, "c", if_source_generation_match=source.generation - 1)
    assert bucket.blob("b").download_as_bytes() == b"there"
    bucket.copy_blob(source, bucket, "a")  # onto itself
    assert bucket.blob("a").download_as_bytes() == b"new"


def test_a_wrong_checksum_keeps_nothing(running: EmulatorProcess, bucket: Bucket) -> None:
    blob = bucket.blob("a")
    blob.md5_hash = "1B2M2Y8AsgTpgAmY7PhCfg=="  # of nothing
    with pytest.raises(BadRequest, match="md5Hash"):
        blob.upload_from_string(b"something", checksum=None, retry=None)
    assert not bucket.blob("a").exists()
