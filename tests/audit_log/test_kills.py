"""Kill -9 of audit_log under load: the views are what was published, exactly.

The environment may say RUNS, KILLS and SEED of the long test, and PATIENCE: within how many
seconds a service that was started must write, and what it missed must be recorded (120).
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from contracts.topology import topology
from libs.bus.admin import PubSubAdmin
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.bus.pubsub_subscribe import LEASE_SECONDS
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.testing.processes import ROOT, emulator
from libs.warehouse.warehouse import Warehouse
from services.audit_log import verify
from services.audit_log.tables import OBJECTS
from tests.audit_log.comparing import differences
from tests.audit_log.load import Load
from tests.audit_log.recorder import connect, keep_signing_key

PROJECT = "convergence-local"
START_SECONDS = float(os.environ.get("PATIENCE", "120"))
"""Within which a service that was started must write."""
RECOVERY_SECONDS = float(os.environ.get("PATIENCE", "120"))


@dataclass(slots=True)
class AuditLog:
    """The service as a process that can be killed and started again."""

    environment: dict[str, str]
    log: IO[bytes]
    process: "subprocess.Popen[bytes] | None" = None
    kills: int = field(default=0)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.audit_log"],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stderr=self.log,
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.kills += 1


@dataclass(slots=True)
class Platform:
    """Pub/Sub, BigQuery and audit_log; nothing else."""

    audit_log: AuditLog
    transport: PubSubTransport
    warehouse: Warehouse

    async def publish(self, load: Load, runs: int) -> None:
        found = load.shuffled(runs)
        topics = {topic for topic, _ in found}
        for topic in topics:
            await self.transport.publish(topic, [wire for name, wire in found if name == topic])


@pytest.fixture
def audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[AuditLog, dict[str, int]]]:
    with (
        emulator("pubsub") as pubsub,
        emulator("bigquery") as bigquery,
        emulator("storage") as storage,
    ):
        host = f"127.0.0.1:{pubsub.ports['grpc']}"
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", host)
        PubSubAdmin(PROJECT).apply(topology())
        keep_signing_key(tmp_path)
        environment = {
            "GCP_PROJECT_ID": PROJECT,
            "PUBSUB_EMULATOR_HOST": host,
            "BIGQUERY_ENDPOINT": f"http://127.0.0.1:{bigquery.ports['rest']}",
            "BIGQUERY_STORAGE_ENDPOINT": f"127.0.0.1:{bigquery.ports['grpc']}",
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{storage.ports['http']}",
            "SECRETS_DIR": str(tmp_path),
            "PORT": "0",
        }
        with (tmp_path / "audit_log.log").open("ab") as log:
            service = AuditLog(environment, log)
            yield service, bigquery.ports
            if service.process is not None:
                service.process.kill()
                service.process.wait()


@pytest.fixture
async def platform(audit_log: tuple[AuditLog, dict[str, int]]) -> AsyncIterator[Platform]:
    service, ports = audit_log
    host = service.environment["PUBSUB_EMULATOR_HOST"]
    warehouse = connect(ports)
    await warehouse.ensure(*OBJECTS)
    endpoint = service.environment["STORAGE_EMULATOR_HOST"]
    bucket = Bucket(BucketSettings(PROJECT, f"{PROJECT}-convergence-ledger", endpoint))
    await bucket.ensure()
    await bucket.close()
    transport = PubSubTransport(PubSubSettings(project_id=PROJECT, emulator_host=host))
    yield Platform(service, transport, warehouse)
    await transport.close()
    await warehouse.close()


async def load_and_kill(platform: Platform, load: Load, runs: int, kills: int) -> None:
    """Publish in portions; now and then the service dies in the middle of one."""
    service = platform.audit_log
    before = await chains(platform)
    service.start()
    for _ in range(kills):
        publishing = asyncio.create_task(platform.publish(load, runs // kills))
        await writing(platform, before)
        await asyncio.sleep(load.chance.uniform(0.0, 0.1))  # it dies at any point of its work
        service.kill()
        before = await chains(platform)
        service.start()
        await publishing


async def writing(platform: Platform, before: int) -> None:
    """Return when the newest life has written; a kill before that would prove nothing."""
    async with asyncio.timeout(START_SECONDS):
        while await chains(platform) == before:  # noqa: ASYNC110  nobody says it
            await asyncio.sleep(0.02)


async def chains(platform: Platform) -> int:
    """Each life begins chains of its own."""
    sql = "SELECT COUNT(DISTINCT chain_id) AS n FROM tenants.event_log"
    (row,) = await platform.warehouse.query(sql)
    return int(row["n"])


async def assert_views_are(platform: Platform, load: Load) -> None:
    """Every message once and as it was published; of each thing what was said of it last."""
    (row,) = await platform.warehouse.query("SELECT COUNT(*) AS n FROM tenants.events")
    assert row["n"] == len(load.said)
    assert await differences(platform.warehouse, load.said) == []


async def lives_that_wrote(platform: Platform) -> int:
    """How many processes there were, by their chains, each of which is whole."""
    rows = await platform.warehouse.query(
        "SELECT * FROM tenants.event_log ORDER BY chain_id, chain_position"
    )
    lines = (json.dumps(row, default=lambda at: at.isoformat()) for row in rows)
    return len({chain.rpartition(".")[0] for chain in verify.verify(lines).heads})


async def assert_exact_after_kills(platform: Platform, runs: int, kills: int, seed: int) -> Load:
    load = Load(random.Random(seed))
    await load_and_kill(platform, load, runs, kills)
    end = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            await assert_views_are(platform, load)
            break
        except AssertionError:
            # What a killed process held is delivered again when its lease has ended.
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.5)
    assert await lives_that_wrote(platform) in {kills, kills + 1}
    assert platform.audit_log.kills == kills
    return load


async def test_views_are_what_was_published_after_kills(platform: Platform) -> None:
    await assert_exact_after_kills(platform, runs=120, kills=3, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_views_are_what_was_published_after_a_hundred_kills(platform: Platform) -> None:
    runs, kills = int(os.environ.get("RUNS", "10000")), int(os.environ.get("KILLS", "100"))
    seed = int(os.environ.get("SEED", "2"))
    load = await assert_exact_after_kills(platform, runs, kills, seed)
    await asyncio.sleep(LEASE_SECONDS + 2)  # whatever was still held has come again by then
    await assert_views_are(platform, load)
