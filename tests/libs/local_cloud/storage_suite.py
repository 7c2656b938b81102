"""What the suites of the Cloud Storage emulator share."""

import atexit
import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from typing import Any
from uuid import uuid4

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Blob, Bucket, Client

from libs.testing.processes import EmulatorProcess, emulator

MIB = 1 << 20
CHUNK = 256 << 10
BIG = os.urandom(3 * MIB + 17)
"""More than one piece of what the emulator keeps bodies in."""


def connect(running: EmulatorProcess) -> Client:
    return Client(
        project="p",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": address(running)},
    )


def address(running: EmulatorProcess) -> str:
    return f"http://127.0.0.1:{running.ports['http']}"


@lru_cache
def shared() -> EmulatorProcess:
    """One emulator for all suites."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(emulator("storage"))


@pytest.fixture
def running() -> EmulatorProcess:
    return shared()


@pytest.fixture
def client(running: EmulatorProcess) -> Iterator[Client]:
    found = connect(running)
    yield found
    found.close()


@pytest.fixture
def bucket(client: Client) -> Bucket:
    return client.create_bucket(f"b{uuid4().hex}")


def put(bucket: Bucket, name: str, body: bytes | str = b"x", **options: Any) -> Blob:
    blob = bucket.blob(name)
    blob.upload_from_string(body, retry=None, **options)
    return blob


def names(found: Any) -> list[str]:
    return [blob.name for blob in found]
