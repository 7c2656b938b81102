"""What the suites of the BigQuery emulator share: one process, and datasets of one test."""

import atexit
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import grpc
import pytest
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import (
    BigQueryWriteGrpcTransport,
)

from libs.testing.processes import EmulatorProcess, emulator

PROJECT = "convergence-local"
NUMBERS = itertools.count(1)
Row = tuple[Any, ...]
ONCE = Retry(predicate=lambda _: False)
"""No second try: what an emulator answers first is what is looked at."""
SLOW = (
    "SELECT count(*) FROM unnest(generate_array(1, 60000)) a, "
    "unnest(generate_array(1, 60000)) b WHERE mod(a * b, 7) = 3"
)
"""Runs far longer than any test waits."""


@lru_cache
def shared() -> EmulatorProcess:
    """One emulator for all suites: starting it takes longer than most of them."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(emulator("bigquery", control=True))


def connect(ports: dict[str, int], project: str = PROJECT) -> bigquery.Client:
    return bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=f"http://127.0.0.1:{ports['rest']}"),
    )


def writer(ports: dict[str, int]) -> BigQueryWriteClient:
    channel = grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}")
    return BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))


@dataclass(frozen=True, slots=True)
class Books:
    """A dataset of one test, and a client of it."""

    client: bigquery.Client
    name: str
    ports: dict[str, int]

    def path(self, table: str) -> str:
        return f"{self.client.project}.{self.name}.{table}"

    def query(self, sql: str, *, job_id: str | None = None, **config: Any) -> bigquery.QueryJob:
        """Start a query, in which tables of this dataset need no prefix."""
        wanted = bigquery.QueryJobConfig(
            default_dataset=f"{self.client.project}.{self.name}", **config
        )
        return self.client.query(sql, wanted, job_id=job_id, job_retry=None, retry=ONCE)

    def rows(self, sql: str, **config: Any) -> list[Row]:
        return self.rows_of(self.query(sql, **config))

    @staticmethod
    def rows_of(job: bigquery.QueryJob) -> list[Row]:
        found = job.result()
        assert isinstance(found, RowIterator)
        return [tuple(row.values()) for row in found]

    def run(self, sql: str, **config: Any) -> bigquery.QueryJob:
        job = self.query(sql, **config)
        job.result()
        return job

    def known(self, job_id: str) -> bigquery.QueryJob:
        job = self.client.get_job(job_id)
        assert isinstance(job, bigquery.QueryJob)
        return job

    def create(self, name: str, *fields: bigquery.SchemaField, **given: Any) -> bigquery.Table:
        table = bigquery.Table(self.path(name), schema=fields)
        for attribute, value in given.items():
            setattr(table, attribute, value)
        return self.client.create_table(table)


@pytest.fixture
def books() -> Iterator[Books]:
    yield from fresh(shared().ports)


def fresh(ports: dict[str, int]) -> Iterator[Books]:
    client = connect(ports)
    name = f"books_{next(NUMBERS)}"
    client.create_dataset(name)
    yield Books(client, name, ports)
    client.delete_dataset(name, delete_contents=True)
    client.close()


def field(name: str, kind: str, mode: str = "NULLABLE", *inner: Any) -> bigquery.SchemaField:
    return bigquery.SchemaField(name, kind, mode=mode, fields=inner)


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Ask again until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold in time"
        time.sleep(0.01)
