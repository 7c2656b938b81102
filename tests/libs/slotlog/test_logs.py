"""Both slot logs keep the same promises; Cloud Storage's API, against the emulator, for one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.envelope import Wire
from libs.slotlog.bucket import Bucket, BucketSettings, StorageUnavailableError
from libs.slotlog.cloud_storage import Claims, CloudStorageSlotLog
from libs.slotlog.log import Entry, Record, SlotLog, Taken, UnknownOutcomeError, Written
from libs.slotlog.memory import MemorySlotLog
from libs.testing.processes import EmulatorProcess, emulator
from tests.stack import free_port

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with emulator("storage", state_dir=tmp_path_factory.mktemp("storage")) as running:
        yield running


@pytest.fixture
async def bucket(storage: EmulatorProcess, request: pytest.FixtureRequest) -> AsyncIterator[Bucket]:
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    endpoint = f"http://127.0.0.1:{storage.ports['http']}"
    found = Bucket(BucketSettings("project-one", name, endpoint))
    await found.ensure()
    yield found
    await found.close()


@pytest.fixture(params=["memory", "cloud storage"])
async def log(request: pytest.FixtureRequest, bucket: Bucket) -> SlotLog:
    return MemorySlotLog() if request.param == "memory" else CloudStorageSlotLog(bucket)


def record(commit: str) -> Record:
    wire = Wire({"ce-id": commit, "naïve": "✓"}, '{"a":"ü"}'.encode(), "acme")
    entry = Entry("cause", ({"kind": "x", "n": 1},), (wire,))
    return Record(commit, AT, (entry,))


async def test_a_slot_is_created_once(log: SlotLog) -> None:
    assert isinstance(await log.append("s/acme", 1, record("a")), Written)
    taken = await log.append("s/acme", 1, record("b"))
    assert isinstance(taken, Taken)
    assert taken.existing == record("a")


async def test_of_many_racing_writers_one_wins(log: SlotLog) -> None:
    outcomes = await asyncio.gather(
        *(log.append("s/acme", slot, record(str(w))) for slot in range(1, 11) for w in range(4))
    )
    assert sum(isinstance(outcome, Written) for outcome in outcomes) == 10


async def test_reading_stops_at_a_gap(log: SlotLog) -> None:
    for slot in (1, 2, 3, 5):
        await log.append("s/acme", slot, record(str(slot)))
    assert [slot for slot, _ in await log.read("s/acme", 0)] == [1, 2, 3]
    assert [slot for slot, _ in await log.read("s/acme", 1, 1)] == [2]
    assert list(await log.read("s/acme", 3)) == []


async def test_the_newest_snapshot_is_found(log: SlotLog) -> None:
    assert await log.latest_snapshot("s/acme") is None
    for slot in (9, 10, 100):
        await log.save_snapshot("s/acme", slot, str(slot).encode())
    assert await log.latest_snapshot("s/acme") == (100, b"100")


async def test_records_expire_oldest_first(log: SlotLog) -> None:
    assert await log.oldest("s/acme") is None
    for slot in range(1, 251):
        made = replace(record(str(slot)), at=AT + timedelta(days=slot))
        await log.append("s/acme", slot, made)
    assert await log.expire("s/acme", 250, AT + timedelta(days=3)) == 2
    assert await log.oldest("s/acme") == (3, replace(record("3"), at=AT + timedelta(days=3)))
    assert await log.expire("s/acme", 240, AT + timedelta(days=1000)) == 237
    assert [slot for slot, _ in await log.read("s/acme", 239)] == list(range(240, 251))
    assert list(await log.read("s/acme", 0)) == []


async def test_streams_are_listed_page_by_page(log: SlotLog) -> None:
    names = ["s/acme", "s/acme0", "s/acme_two", "s/zeta"]
    for name in [*names, "other/acme"]:
        await log.append(name, 1, record(name))
    found: list[str] = []
    while page := await log.streams("s", found[-1] if found else "", 3):
        found += page
    assert found == sorted(names)


async def test_a_claim_belongs_to_whoever_came_first(bucket: Bucket) -> None:
    claims = Claims(bucket)
    owners = ["one", "two", "three"]
    won = await asyncio.gather(*(claims.claim("run/1", owner) for owner in owners))
    assert sum(won) == 1
    winner = owners[won.index(True)]
    assert await claims.claim("run/1", winner)


async def test_a_storage_that_is_away_is_named_and_an_append_then_unknown() -> None:
    nowhere = Bucket(BucketSettings("project-one", "bucket-x", "http://127.0.0.1:9"))
    with pytest.raises(StorageUnavailableError, match="bucket-x"):
        await nowhere.check()
    with pytest.raises(UnknownOutcomeError, match="slot 1"):
        await CloudStorageSlotLog(nowhere).append("s/acme", 1, record("a"))
    await nowhere.close()


async def test_an_acknowledged_slot_survives_kill_9(tmp_path: Path) -> None:
    port = free_port()
    with emulator("storage", state_dir=tmp_path, port=port) as first:
        settings = BucketSettings("project-one", "bucket-y", f"http://127.0.0.1:{port}")
        bucket = Bucket(settings)
        await bucket.ensure()
        log = CloudStorageSlotLog(bucket)
        for slot in range(1, 21):
            await log.append("s/acme", slot, record(str(slot)))
        first.kill()
        with emulator("storage", state_dir=tmp_path, port=port):
            assert len(await log.read("s/acme", 0)) == 20
        await bucket.close()
