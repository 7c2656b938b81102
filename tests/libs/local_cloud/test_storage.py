"""Google's own client against the Cloud Storage emulator: buckets, preconditions, listing."""

import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from google.api_core.exceptions import (
    BadRequest,
    Conflict,
    NotFound,
    NotModified,
    PreconditionFailed,
)
from google.cloud.storage import Bucket, Client

from libs.testing.processes import EmulatorProcess
from tests.libs.local_cloud.storage_suite import (
    address,
    bucket,
    client,
    names,
    put,
    running,
)

__all__ = ["bucket", "client", "running"]

# Buckets


def test_a_bucket_is_made_once_and_deleted_only_empty(client: Client, bucket: Bucket) -> None:
    with pytest.raises(Conflict, match="exists already"):
        client.create_bucket(bucket.name)
    blob = put(bucket, "a")
    with pytest.raises(Conflict, match="not empty"):
        bucket.delete()
    blob.delete()
    bucket.delete()
    assert not bucket.exists()
    with pytest.raises(NotFound):
        put(bucket, "a")


def test_bucket_metadata_is_kept_and_patched(client: Client) -> None:
    made = client.bucket(f"b{uuid4().hex}")
    made.labels = {"team": "cost", "old": "1"}
    made.storage_class = "NEARLINE"
    client.create_bucket(made, location="EU")
    found = client.get_bucket(made.name)
    assert (found.location, found.storage_class) == ("EU", "NEARLINE")
    labels = found.labels
    del labels["old"]
    found.labels = {**labels, "new": "2"}
    found.add_lifecycle_delete_rule(age=30)
    found.patch(if_metageneration_match=1)
    again = client.get_bucket(made.name)
    assert again.labels == {"team": "cost", "new": "2"}
    assert [rule["condition"] for rule in again.lifecycle_rules] == [{"age": 30}]
    assert again.metageneration == 2
    with pytest.raises(PreconditionFailed):
        again.patch(if_metageneration_match=1)


def test_buckets_are_listed_by_prefix_in_pages(client: Client) -> None:
    prefix = f"l{uuid4().hex}"
    made = [client.create_bucket(f"{prefix}-{n}").name for n in range(3)]
    pages = list(client.list_buckets(prefix=prefix, page_size=2).pages)
    assert [names(page) for page in pages] == [made[:2], made[2:]]


@pytest.mark.parametrize("name", ["UPPER", "a"])
def test_a_bad_bucket_name_is_refused_with_the_rule(client: Client, name: str) -> None:
    with pytest.raises(BadRequest, match="small letters"):
        client.create_bucket(name)


# Preconditions


def test_an_object_is_created_once(bucket: Bucket) -> None:
    first = put(bucket, "slot", b"mine", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        put(bucket, "slot", b"yours", if_generation_match=0)
    assert bucket.blob("slot").download_as_bytes() == b"mine"
    put(bucket, "slot", b"next", if_generation_match=first.generation)
    with pytest.raises(PreconditionFailed):
        put(bucket, "slot", b"late", if_generation_match=first.generation)
    assert bucket.blob("slot").download_as_bytes() == b"next"


def test_generations_grow_also_over_a_deletion(bucket: Bucket) -> None:
    first = put(bucket, "a")
    first.delete()
    assert put(bucket, "a").generation > first.generation


def test_a_read_may_demand_a_generation(bucket: Bucket) -> None:
    old = put(bucket, "a", b"old")
    new = put(bucket, "a", b"new")
    with pytest.raises(NotFound):
        bucket.blob("a", generation=old.generation).download_as_bytes()
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").download_as_bytes(if_generation_match=old.generation)
    with pytest.raises(NotModified):
        bucket.blob("a").reload(if_generation_not_match=new.generation, retry=None)
    assert bucket.blob("a", generation=new.generation).download_as_bytes() == b"new"


def test_a_deletion_may_demand_a_generation(bucket: Bucket) -> None:
    blob = put(bucket, "a")
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").delete(if_generation_match=blob.generation - 1)
    bucket.blob("a").delete(if_generation_match=blob.generation)
    with pytest.raises(NotFound, match="No such object"):
        bucket.blob("a").delete()


def test_a_metadata_change_counts_metagenerations_only(bucket: Bucket) -> None:
    blob = put(bucket, "a", b"body", content_type="text/csv")
    blob.metadata = {"tenant": "acme", "gone": "1"}
    blob.patch(if_metageneration_match=1)
    blob.metadata = {"gone": None}
    blob.patch()
    found = bucket.get_blob("a")
    assert found is not None
    assert found.metadata == {"tenant": "acme"}
    assert (found.generation, found.metageneration) == (blob.generation, 3)
    assert (found.content_type, found.size) == ("text/csv", 4)
    with pytest.raises(PreconditionFailed):
        found.patch(if_metageneration_match=1)


RACER = """
import sys
from google.api_core.exceptions import PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

endpoint, bucket, me = sys.argv[1:]
client = Client("p", AnonymousCredentials(), client_options={"api_endpoint": endpoint})
print("ready", flush=True)
sys.stdin.readline()
for n in range(50):
    try:
        client.bucket(bucket).blob(f"slot/{n:03d}").upload_from_string(
            f"{me}", if_generation_match=0, retry=None)
    except PreconditionFailed:
        continue
    print(n, flush=True)
"""


def test_four_processes_that_race_for_fifty_objects_win_fifty(
    running: EmulatorProcess, bucket: Bucket
) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, address(running), bucket.name, str(me)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for me in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [racer.communicate(timeout=60)[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    assert sorted(int(slot) for slots in won for slot in slots) == list(range(50))
    for me, slots in enumerate(won):
        for slot in slots:
            body = bucket.blob(f"slot/{int(slot):03d}").download_as_bytes()
            assert body == str(me).encode()


# Listing


@pytest.fixture
def shelf(bucket: Bucket) -> Bucket:
    for name in ("a/1", "a/2", "a/b/3", "a/b/4", "a/c/5", "a0", "b/1", "é/1"):
        put(bucket, name)
    return bucket


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["a/1", "a/2", "a/b/3", "a/b/4", "a/c/5", "a0", "b/1", "é/1"]),
        ({"prefix": "a/"}, ["a/1", "a/2", "a/b/3", "a/b/4", "a/c/5"]),
        ({"prefix": "a/", "start_offset": "a/b/4"}, ["a/b/4", "a/c/5"]),
        ({"start_offset": "a/b/", "end_offset": "b"}, ["a/b/3", "a/b/4", "a/c/5", "a0"]),
        ({"prefix": "a/", "start_offset": "zz"}, []),
        ({"prefix": "a/", "max_results": 2}, ["a/1", "a/2"]),
        ({"prefix": "nothing"}, []),
    ],
    ids=["all", "prefix", "offset", "span", "behind", "most", "none"],
)
def test_objects_are_listed_in_order(
    shelf: Bucket, asked: dict[str, Any], expected: list[str]
) -> None:
    assert names(shelf.list_blobs(**asked)) == expected


@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_pages_together_are_the_list_each_entry_once(shelf: Bucket, page_size: int) -> None:
    assert names(shelf.list_blobs(page_size=page_size)) == names(shelf.list_blobs())
    found = shelf.list_blobs(prefix="a/", delimiter="/", page_size=page_size)
    pages = [(names(page), page.num_items) for page in found.pages]
    assert [name for page, _ in pages for name in page] == ["a/1", "a/2"]
    assert found.prefixes == {"a/b/", "a/c/"}


def test_what_cannot_be_listed_is_refused(shelf: Bucket) -> None:
    with pytest.raises(BadRequest, match="pageToken"):
        list(shelf.list_blobs(page_token="no token of ours"))  # noqa: S106  not a password
    with pytest.raises(BadRequest, match="matchGlob"):
        list(shelf.list_blobs(match_glob="**/*.csv"))
