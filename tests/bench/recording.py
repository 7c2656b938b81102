"""How fast audit_log writes what was published, beside what the emulators can do at most.

    python -m tests.bench.recording [--events 32000] [--backlog EVENTS]

A backlog of messages waits; the clock runs from the first row that is written
until all are. Twice, the second backlog being four times as long: CPU and memory
per event must not grow with it. `--backlog 1000000` drains only one, of that length.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, Table

from contracts.catalogue import CONSUMING_SERVICES, subscription_of
from contracts.envelope import Wire
from contracts.message import Service
from contracts.topology import topology
from libs.bus.admin import PubSubAdmin
from libs.bus.message import Received
from libs.bus.middleware.dead_letter import read
from libs.bus.pubsub import PubSubSettings, PubSubTransport
from libs.bus.transport import FlowControl, Verdict
from libs.clock import system_clock
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.testing.processes import ROOT, EmulatorProcess, emulator
from libs.warehouse import arrow
from libs.warehouse.arrow import arrow_schema
from libs.warehouse.migrate import field_of
from services.audit_log.domain import rows_of
from services.audit_log.handlers import Given
from services.audit_log.tables import LOGS, OBJECTS
from tests.audit_log.load import Load, Published
from tests.audit_log.recorder import connect, keep_signing_key
from tests.bench.figures import Figure, Findings
from tests.bench.processes import MIB, cpu_seconds, peak
from tests.bench.profiling import profiled
from tests.stack import free_port

PROJECT = "convergence-local"
BATCH = 500
PORTION = 500
"""Runs, each with a dozen events."""
ROUNDS = 5
CHEAPER = 4.0
INSERTS = "insertAll of Google's client"
APPENDED_USD_GB, INSERTED_USD_GB = 0.025, 0.05
"""What streaming costs: the Storage Write API, and insertAll."""
LEAST_BILLED = 1024
"""Bytes of a row that insertAll counts at least."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What draining one backlog took."""

    events: int
    seconds: float
    cpu_seconds: float
    peak_mib: float

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_each(self) -> float:
        return self.cpu_seconds / self.events


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recording")
    parser.add_argument("--events", type=int, default=32_000)
    parser.add_argument("--backlog", type=int, default=0)
    given = parser.parse_args()
    if given.backlog:
        show(asyncio.run(draining(given.backlog)))
    else:
        asyncio.run(measure(given.events))


async def measure(events: int) -> None:
    load, found = Load(random.Random(1), keeps=False), list[Published]()
    while len(found) < events:
        found += load.shuffled(PORTION, doubled=0)
    encoded = [encoding(found) for _ in range(ROUNDS)]
    inserted = [inserting(found) for _ in range(ROUNDS)]
    with profiled("encoding rows") as profiles:
        encoding(found)
    appended = await appending_alone(found)
    received = await receiving_alone(found)
    short, long = await draining(events // 4), await draining(events)
    lower = min(appended, received)
    cpu, theirs = ([one.cpu_us for one in side] for side in (encoded, inserted))
    name = "BigQuery emulator" if lower == appended else "Pub/Sub emulator"
    findings = Findings(
        "recording",
        [
            Figure("encoding a row: CPU of the client", "µs", cpu, aim=2, more_is_better=False),
            Figure("encoding a row", "µs", cpu, INSERTS, theirs, more_is_better=False),
            Figure(
                "writing a million rows, by Google's price list",
                "USD",
                [one.price for one in encoded],
                INSERTS,
                [one.price for one in inserted],
                CHEAPER,
                more_is_better=False,
            ),
            Figure("events written a second", "/s", [long.rate], aim=min(2000, lower)),
            Figure(
                f"… of a backlog of {long.events:,}",
                "/s",
                [long.rate],
                f"the lower ceiling, the {name} alone",
                [lower],
            ),
            Figure(
                f"CPU an event, of {long.events:,}",
                "µs",
                [long.cpu_each * 1e6],
                f"of {short.events:,}",
                [short.cpu_each * 1e6],
                more_is_better=False,
            ),
            Figure(
                f"peak memory, of {long.events:,}",
                "MiB",
                [long.peak_mib],
                f"of {short.events:,}",
                [short.peak_mib],
                more_is_better=False,
            ),
        ],
        profiles=profiles,
    )
    findings.keep()
    for figure in findings.figures:
        print(figure)


def show(done: Drained) -> None:
    print(
        f"audit_log drains {done.events:7} events at {done.rate:7.0f} events/s,"
        f" CPU {done.cpu_each * 1e6:5.0f} µs an event, peak memory {done.peak_mib:5.0f} MiB"
    )


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row of any log, in the service's batches, on its way to BigQuery."""

    cpu_us: float
    bytes_billed: float
    usd_gb: float

    @property
    def price(self) -> float:
        """Of a million, in USD."""
        return self.bytes_billed * 1e6 / 1e9 * self.usd_gb


def encoding(found: Sequence[Published]) -> Encoded:
    counted, seconds, sent = 0, 0.0, 0
    for part in batches_of(found):
        for name, rows in part.items():
            schema, began = arrow_schema(LOGS[name]), time.process_time()
            for batch in arrow.batches(LOGS[name], schema, rows):
                sent += batch.serialize().size
            seconds += time.process_time() - began
            counted += len(rows)
    return Encoded(seconds / counted * 1e6, sent / counted, APPENDED_USD_GB)


def inserting(found: Sequence[Published]) -> Encoded:
    """The same rows as Google's client makes insertAll of them, but for sending it."""
    http = Unsent()
    client = Client(
        PROJECT, credentials=AnonymousCredentials(), _http=cast("requests.Session", http)
    )
    tables = {
        name: Table(f"{PROJECT}.{table.path}", [field_of(c) for c in table.columns])
        for name, table in LOGS.items()
    }
    counted, seconds = 0, 0.0
    for part in batches_of(found):
        for name, rows in part.items():
            began = time.process_time()
            if rows:
                client.insert_rows(tables[name], rows)
            seconds += time.process_time() - began
            counted += len(rows)
    rows = [row["json"] for body in http.bodies for row in json.loads(body)["rows"]]
    billed = sum(max(LEAST_BILLED, len(json.dumps(row))) for row in rows)
    return Encoded(seconds / counted * 1e6, billed / counted, INSERTED_USD_GB)


class Unsent:
    """Takes what would be sent, and says that all is well."""

    is_mtls = False

    def __init__(self) -> None:
        self.bodies: list[str] = []

    def request(self, *_: Any, data: str, **__: Any) -> requests.Response:
        self.bodies.append(data)
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"{}"
        answer.headers["Content-Type"] = "application/json"
        return answer


def batches_of(found: Sequence[Published]) -> list[dict[str, list[dict[str, Any]]]]:
    """The rows of the logs."""
    now, price = system_clock(), Given().price_per_tib
    opened = [read(_received(one)) for one in found]
    triples = [(d.envelope, d.message, d.received.data) for d in opened]
    return [
        rows_of(triples[start : start + BATCH], now, price)
        for start in range(0, len(triples), BATCH)
    ]


async def appending_alone(found: Sequence[Published]) -> float:
    """Rows that are ready, in the service's batches, and nothing else to do."""
    with emulator("bigquery") as bigquery:
        warehouse = connect(bigquery.ports)
        await warehouse.ensure(*OBJECTS)
        batches = batches_of(found)
        began = time.perf_counter()
        for rows in batches:
            await asyncio.gather(
                *(warehouse.append(LOGS[name], batch) for name, batch in rows.items() if batch)
            )
        seconds = time.perf_counter() - began
        await warehouse.close()
        return len(found) / seconds


def _received(published: Published) -> Received:
    _, wire = published
    return Received("s", "1", system_clock(), wire.attributes, wire.data, wire.ordering_key)


async def receiving_alone(found: Sequence[Published]) -> float:
    with emulator("pubsub") as pubsub:
        transport = await connected(pubsub)
        await publish(transport, found)
        left, done = [len(found)], asyncio.Event()

        async def take(_: Received) -> Verdict:
            left[0] -= 1
            if not left[0]:
                done.set()
            return Verdict.ACK

        began, flow = time.perf_counter(), FlowControl(in_order=False)
        pulling = [
            transport.subscribe(subscription_of(Service.AUDIT_LOG, service), take, flow)
            for service in CONSUMING_SERVICES
        ]
        await done.wait()
        seconds = time.perf_counter() - began
        await asyncio.gather(*(one.drain(1) for one in pulling))
        await transport.close()
        return len(found) / seconds


async def connected(pubsub: EmulatorProcess) -> PubSubTransport:
    host = f"127.0.0.1:{pubsub.ports['grpc']}"
    os.environ["PUBSUB_EMULATOR_HOST"] = host
    PubSubAdmin(PROJECT).apply(topology())
    return PubSubTransport(PubSubSettings(project_id=PROJECT, emulator_host=host))


async def publish(transport: PubSubTransport, found: Sequence[Published]) -> None:
    for topic in {topic for topic, _ in found}:
        wires = [wire for name, wire in found if name == topic]
        for start in range(0, len(wires), 1000):
            await transport.publish(topic, wires[start : start + 1000])


async def publish_all(transport: PubSubTransport, events: int) -> int:
    """One portion again and again, under new ids: to make up as many would take the time."""
    portion, count = Load(random.Random(2), keeps=False).shuffled(PORTION, doubled=0), 0
    while count < events:
        await publish(transport, [(topic, _again(wire)) for topic, wire in portion])
        count += len(portion)
    return count


def _again(wire: Wire) -> Wire:
    return Wire({**wire.attributes, "ce-id": str(uuid4())}, wire.data, wire.ordering_key)


async def draining(events: int) -> Drained:
    with (
        emulator("pubsub") as pubsub,
        emulator("bigquery") as bigquery,
        emulator("storage") as storage,
        tempfile.TemporaryDirectory(prefix="audit_log-") as directory,
        (Path(directory) / "log").open("ab") as log,
    ):
        keep_signing_key(Path(directory))
        transport = await connected(pubsub)
        published = await publish_all(transport, events)
        await transport.close()
        warehouse = connect(bigquery.ports)
        await warehouse.ensure(*OBJECTS)
        endpoint = f"http://127.0.0.1:{storage.ports['http']}"
        bucket = Bucket(BucketSettings(PROJECT, f"{PROJECT}-convergence-ledger", endpoint))
        await bucket.ensure()
        await bucket.close()
        port = free_port()
        environment = {
            **os.environ,
            "GCP_PROJECT_ID": PROJECT,
            "BIGQUERY_ENDPOINT": f"http://127.0.0.1:{bigquery.ports['rest']}",
            "BIGQUERY_STORAGE_ENDPOINT": f"127.0.0.1:{bigquery.ports['grpc']}",
            "STORAGE_EMULATOR_HOST": endpoint,
            "SECRETS_DIR": directory,
            "PORT": str(port),
        }
        service = subprocess.Popen(  # noqa: ASYNC220  nothing else goes on
            [sys.executable, "-m", "services.audit_log"], cwd=ROOT, env=environment, stderr=log
        )
        try:
            first = await _until(port, 1)
            began, cpu = time.perf_counter(), cpu_seconds(service.pid)
            written = await _until(port, published) - first
            seconds = time.perf_counter() - began
            spent = cpu_seconds(service.pid) - cpu
            return Drained(written, seconds, spent, peak(service.pid) / MIB)
        finally:
            service.kill()
            service.wait()
            await warehouse.close()


async def _until(port: int, events: int) -> int:
    """Wait until the service says that it has written so many; returns how many."""
    while True:
        written = await asyncio.to_thread(_written, port)
        if written >= events:
            return written
        await asyncio.sleep(0.05)


def _written(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return 0  # it does not listen yet
    name = "convergence_audit_log_rows_total "
    return int(float(next(line for line in lines if line.startswith(name)).removeprefix(name)))


if __name__ == "__main__":
    main()
