"""Google's own client against the Cloud Storage emulator: uploads that resume, crashes, faults."""

import io
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from google.api_core.exceptions import (
    PreconditionFailed,
    ServiceUnavailable,
)
from google.cloud.storage import Bucket
from google.cloud.storage.exceptions import InvalidResponse
from google.resumable_media.requests import ResumableUpload

from libs.testing.processes import EmulatorProcess, emulator
from tests.libs.local_cloud.storage_suite import (
    BIG,
    CHUNK,
    MIB,
    address,
    bucket,
    client,
    connect,
    names,
    put,
    running,
)
from tests.stack import free_port

__all__ = ["bucket", "client", "running"]

# Resumable uploads


class Upload:
    """A resumable upload by hand, chunk by chunk."""

    def __init__(self, running: EmulatorProcess, bucket: Bucket, name: str, body: bytes) -> None:
        self.session = requests.Session()
        url = f"{address(running)}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable"
        self.upload = ResumableUpload(url, CHUNK)
        self.upload.initiate(self.session, io.BytesIO(body), {"name": name}, "text/csv")

    def send(self) -> requests.Response:
        found: requests.Response = self.upload.transmit_next_chunk(self.session, timeout=60)
        return found

    def put(self, span: str, body: bytes = b"") -> requests.Response:
        """Say by hand which part of the whole this is."""
        return self.session.put(self.url, data=body, headers={"Content-Range": span})

    @property
    def url(self) -> str:
        return str(self.upload.resumable_url)

    def finish(self) -> None:
        while not self.upload.finished:
            self.send()


def test_a_resumable_upload_of_unknown_size_arrives(bucket: Bucket) -> None:
    blob = bucket.blob("a", chunk_size=CHUNK)
    blob.upload_from_file(io.BytesIO(BIG), content_type="text/csv", checksum="crc32c")
    found = bucket.get_blob("a")
    assert found is not None
    assert found.content_type == "text/csv"
    assert found.download_as_bytes() == BIG


def test_a_written_file_arrives_when_it_is_closed(bucket: Bucket) -> None:
    with bucket.blob("a").open("wb", chunk_size=CHUNK, if_generation_match=0) as file:
        file.write(BIG)
        assert not bucket.blob("a").exists()
    assert bucket.blob("a").download_as_bytes() == BIG


def test_a_resumable_upload_meets_its_precondition_at_its_end(bucket: Bucket) -> None:
    blob = bucket.blob("a")
    file = blob.open("wb", chunk_size=CHUNK, if_generation_match=0)
    file.write(BIG)
    put(bucket, "a", b"faster")
    with pytest.raises(InvalidResponse, match="412"):
        file.close()
    assert bucket.blob("a").download_as_bytes() == b"faster"
    with pytest.raises(PreconditionFailed):
        bucket.blob("a", chunk_size=CHUNK).upload_from_file(io.BytesIO(BIG), if_generation_match=0)


def test_chunks_sent_again_are_taken_once(running: EmulatorProcess, bucket: Bucket) -> None:
    upload = Upload(running, bucket, "a", BIG)
    upload.send()
    upload.send()
    again = upload.put(f"bytes 0-{CHUNK - 1}/{len(BIG)}", BIG[:CHUNK])
    assert (again.status_code, again.headers["Range"]) == (308, f"bytes=0-{2 * CHUNK - 1}")
    upload.finish()
    assert bucket.blob("a").download_as_bytes() == BIG
    assert upload.put(f"bytes */{len(BIG)}").json()["size"] == str(len(BIG))


def test_a_gap_between_chunks_is_refused(running: EmulatorProcess, bucket: Bucket) -> None:
    upload = Upload(running, bucket, "a", BIG)
    upload.send()
    answer = upload.put(f"bytes {2 * CHUNK}-{3 * CHUNK - 1}/{len(BIG)}", BIG[:CHUNK])
    assert answer.status_code == 400
    assert "exceeds already uploaded size" in answer.json()["error"]["message"]


def test_a_cancelled_upload_is_gone(running: EmulatorProcess, bucket: Bucket) -> None:
    upload = Upload(running, bucket, "a", BIG)
    upload.send()
    assert upload.session.delete(upload.url).status_code == 499
    assert upload.put("bytes */*").status_code == 404


# Crashes and faults


def test_a_kill_loses_no_acknowledged_write(tmp_path: Path) -> None:
    with emulator("storage", state_dir=tmp_path, port=free_port()) as first:
        bucket = connect(first).create_bucket("kept")
        put(bucket, "big", BIG)
        put(bucket, "empty", b"")
        gone = put(bucket, "gone")
        upload = Upload(first, bucket, "resumed", BIG)
        upload.send()
        for n in range(50):
            put(bucket, f"slot/{n}", str(n), if_generation_match=0)
        gone.delete()
        first.kill()
    with emulator("storage", state_dir=tmp_path, port=first.ports["http"]) as second:
        bucket = connect(second).get_bucket("kept")
        put(bucket, "new", b"shares nothing with what was there")
        upload.finish()
        for n in range(50):
            assert bucket.blob(f"slot/{n}").download_as_bytes() == str(n).encode()
        assert bucket.blob("big").download_as_bytes() == BIG
        assert bucket.blob("empty").download_as_bytes() == b""
        assert bucket.blob("resumed").download_as_bytes() == BIG
        assert not bucket.blob("gone").exists()


def test_a_body_cut_off_by_a_kill_leaves_nothing(tmp_path: Path) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(4):
            yield os.urandom(MIB)
        first.kill()
        yield b"lost"

    with emulator("storage", state_dir=tmp_path) as first:
        bucket = connect(first).create_bucket("kept")
        url = f"{address(first)}/upload/storage/v1/b/kept/o?uploadType=media&name=half"
        with pytest.raises(requests.ConnectionError):
            requests.post(url, data=endless(), timeout=60)
    with emulator("storage", state_dir=tmp_path) as second:
        bucket = connect(second).get_bucket("kept")
        assert names(bucket.list_blobs()) == []


def test_state_of_another_version_is_refused_and_named(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "storage.db") as database:
        database.execute("create table object (bucket text)")
    database.close()
    refused = subprocess.run(
        [sys.executable, "-m", "libs.local_cloud.storage", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert f"{tmp_path / 'storage.db'}: another version" in refused.stderr


def test_a_lost_reply_leaves_a_write_that_its_writer_can_find() -> None:
    with emulator("storage", control=True) as running:
        bucket = connect(running).create_bucket("faulty")
        control = f"http://127.0.0.1:{running.ports['control']}/faults"
        requests.put(control, json={"error_rate": 1}, timeout=60)
        for n in range(20):
            with pytest.raises(ServiceUnavailable):
                put(bucket, f"{n:02d}", if_generation_match=0)
        requests.put(control, json={}, timeout=60)
        assert 0 < len(names(bucket.list_blobs())) < 20
