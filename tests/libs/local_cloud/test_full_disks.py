"""Emulators whose disk is full: they refuse what they cannot keep, and go on when there is room."""

from pathlib import Path

import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from google.pubsub_v1.types import PubsubMessage

from libs.testing.processes import emulator, full_disk
from tests.libs.local_cloud.pubsub_backends import Clients, texts

BUCKET = "kept"


def test_pubsub_refuses_what_it_cannot_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with emulator("pubsub", state_dir=tmp_path) as first:
        port = first.ports["grpc"]
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
        clients = Clients()
        topic = clients.topic()
        subscription = clients.subscription(topic)
        clients.publish(topic, "before")
        with full_disk(first.pid), pytest.raises(ServiceUnavailable, match="cannot keep it"):
            clients.publisher.api.publish(
                topic=topic, messages=[PubsubMessage(data=b"lost")], retry=None
            )
        clients.publish(topic, "after")
        assert sorted(texts(clients.pull(subscription))) == ["after", "before"]
        first.kill()
        with emulator("pubsub", state_dir=tmp_path, port=port):
            assert sorted(texts(clients.pull(subscription))) == ["after", "before"]
    clients.close()


def test_storage_refuses_what_it_cannot_keep(tmp_path: Path) -> None:
    with emulator("storage", state_dir=tmp_path) as first:
        client = Client(
            "p",
            AnonymousCredentials(),
            client_options={"api_endpoint": f"http://127.0.0.1:{first.ports['http']}"},
        )
        bucket = client.create_bucket(BUCKET)
        bucket.blob("before").upload_from_string(b"1", retry=None)
        with full_disk(first.pid), pytest.raises(ServiceUnavailable, match="cannot keep it"):
            bucket.blob("lost").upload_from_string(b"2", retry=None)
        bucket.blob("after").upload_from_string(b"3", retry=None)
        assert [blob.name for blob in client.list_blobs(BUCKET)] == ["after", "before"]
        client.close()
