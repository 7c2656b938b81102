"""Google's own client against the Secret Manager emulator."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import google_crc32c
import grpc
import pytest
from google.api_core.exceptions import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)

from libs.testing.processes import EmulatorProcess, NotStartedError, emulator

PARENT = "projects/p"
EVERYWHERE: dict[str, Any] = {"replication": {"automatic": {}}}
CANARY = b"p\x00ssw\xff-canary"
READER = {"role": "roles/secretmanager.secretAccessor", "members": ["serviceAccount:x@p.example"]}


def connect(running: EmulatorProcess) -> SecretManagerServiceClient:
    channel = grpc.insecure_channel(f"127.0.0.1:{running.ports['grpc']}")
    return SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with emulator("secret_manager") as running:
        found = connect(running)
        yield found
        found.transport.close()


@pytest.fixture
def secret(client: Any) -> str:
    return new_secret(client)


def new_secret(client: Any, *payloads: bytes, parent: str = PARENT, **options: Any) -> str:
    made = client.create_secret(
        parent=parent, secret_id=f"s{uuid4().hex}", secret={**EVERYWHERE, **options}
    )
    for data in payloads:
        client.add_secret_version(parent=made.name, payload={"data": data})
    return str(made.name)


def read(client: Any, secret: str, version: str = "latest") -> bytes:
    found = client.access_secret_version(name=f"{secret}/versions/{version}")
    return bytes(found.payload.data)


# Secrets


def test_a_secret_is_made_once_found_and_listed(client: Any) -> None:
    name = new_secret(client, labels={"tenant": "acme"})
    found = client.get_secret(name=name)
    assert (dict(found.labels), "automatic" in found.replication) == ({"tenant": "acme"}, True)
    assert found.create_time is not None
    assert name in {one.name for one in client.list_secrets(parent=PARENT)}
    with pytest.raises(AlreadyExists):
        client.create_secret(
            parent=PARENT, secret_id=name.rpartition("/")[2], secret={**EVERYWHERE}
        )


def test_what_does_not_exist_is_not_found(client: Any, secret: str) -> None:
    none = f"{PARENT}/secrets/none"
    with pytest.raises(NotFound):
        client.get_secret(name=none)
    with pytest.raises(NotFound):
        client.add_secret_version(parent=none, payload={"data": b"x"})
    with pytest.raises(NotFound):
        client.delete_secret(name=none)
    for version in ("latest", "1"):
        with pytest.raises(NotFound):
            read(client, secret, version)


@pytest.mark.parametrize(
    ("secret_id", "secret", "reason"),
    [("a/b", EVERYWHERE, "secret_id"), ("", EVERYWHERE, "secret_id"), ("ok", {}, "replication")],
    ids=["slash", "empty", "no-replication"],
)
def test_a_bad_secret_is_refused(
    client: Any, secret_id: str, secret: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        client.create_secret(parent=PARENT, secret_id=secret_id, secret=secret)


def test_labels_and_aliases_change(client: Any) -> None:
    name = new_secret(client, b"one", b"two", labels={"a": "1"})
    changed = client.update_secret(
        secret={"name": name, "labels": {"b": "2"}, "version_aliases": {"stable": 1}},
        update_mask={"paths": ["labels", "version_aliases"]},
    )
    assert dict(changed.labels) == {"b": "2"}
    assert read(client, name, "stable") == b"one"
    with pytest.raises(NotFound):
        read(client, name, "unknown")
    with pytest.raises(InvalidArgument, match="replication"):
        client.update_secret(secret={"name": name}, update_mask={"paths": ["replication"]})


def test_an_old_etag_changes_nothing(client: Any, secret: str) -> None:
    old = client.get_secret(name=secret).etag
    change = {"name": secret, "labels": {"a": "1"}, "etag": old}
    client.update_secret(secret=change, update_mask={"paths": ["labels"]})
    with pytest.raises(FailedPrecondition, match="etag"):
        client.update_secret(secret=change, update_mask={"paths": ["labels"]})
    with pytest.raises(FailedPrecondition, match="etag"):
        client.delete_secret(request={"name": secret, "etag": old})


def test_a_deleted_secret_takes_its_versions_along(client: Any) -> None:
    name = new_secret(client, CANARY)
    client.delete_secret(name=name)
    with pytest.raises(NotFound):
        client.get_secret(name=name)
    client.create_secret(parent=PARENT, secret_id=name.rpartition("/")[2], secret={**EVERYWHERE})
    with pytest.raises(NotFound):
        read(client, name)


def test_a_regional_secret_is_not_among_the_global(client: Any) -> None:
    parent = f"{PARENT}/locations/europe-west1"
    name = client.create_secret(parent=parent, secret_id=f"s{uuid4().hex}", secret={}).name
    client.add_secret_version(parent=name, payload={"data": b"x"})
    assert read(client, name) == b"x"
    assert name in {one.name for one in client.list_secrets(parent=parent)}
    assert name not in {one.name for one in client.list_secrets(parent=PARENT)}


# Versions


def test_versions_are_read_by_number_and_as_the_latest(client: Any, secret: str) -> None:
    made = client.add_secret_version(
        parent=secret, payload={"data": CANARY, "data_crc32c": google_crc32c.value(CANARY)}
    )
    assert made.client_specified_payload_checksum
    client.add_secret_version(parent=secret, payload={"data": b"two"})
    found = client.access_secret_version(name=f"{secret}/versions/1")
    assert found.name == made.name
    assert found.payload.data == CANARY
    assert found.payload.data_crc32c == google_crc32c.value(CANARY)
    assert (read(client, secret), read(client, secret, "2")) == (b"two", b"two")


def test_a_payload_damaged_on_its_way_is_refused(client: Any, secret: str) -> None:
    with pytest.raises(InvalidArgument, match="checksum"):
        client.add_secret_version(parent=secret, payload={"data": b"x", "data_crc32c": 1})
    assert list(client.list_secret_versions(parent=secret)) == []


def test_a_payload_has_a_limit(client: Any, secret: str) -> None:
    client.add_secret_version(parent=secret, payload={"data": b"x" * 65_536})
    with pytest.raises(InvalidArgument, match="64 KiB"):
        client.add_secret_version(parent=secret, payload={"data": b"x" * 65_537})


def test_a_disabled_version_is_closed_until_it_is_enabled(client: Any) -> None:
    name = new_secret(client, b"one", b"two")
    client.disable_secret_version(name=f"{name}/versions/2")
    for version in ("2", "latest"):
        with pytest.raises(FailedPrecondition, match="DISABLED"):
            read(client, name, version)
    assert read(client, name, "1") == b"one"
    client.enable_secret_version(name=f"{name}/versions/2")
    assert read(client, name) == b"two"


def test_a_destroyed_version_never_comes_back(client: Any) -> None:
    name = new_secret(client, b"one", b"two")
    doomed = f"{name}/versions/2"
    assert client.destroy_secret_version(name=doomed).destroy_time is not None
    with pytest.raises(FailedPrecondition, match="DESTROYED"):
        read(client, name, "2")
    with pytest.raises(FailedPrecondition, match="destroyed"):
        client.enable_secret_version(name=doomed)
    states = [(v.name[-1], v.state.name) for v in client.list_secret_versions(parent=name)]
    assert states == [("2", "DESTROYED"), ("1", "ENABLED")]
    client.add_secret_version(parent=name, payload={"data": b"three"})
    assert read(client, name) == read(client, name, "3") == b"three"


# IAM


def test_a_policy_is_empty_then_kept(client: Any, secret: str) -> None:
    empty = client.get_iam_policy(request={"resource": secret})
    assert (list(empty.bindings), bool(empty.etag)) == ([], True)
    kept = client.set_iam_policy(request={"resource": secret, "policy": {"bindings": [READER]}})
    found = client.get_iam_policy(request={"resource": secret})
    assert found == kept
    assert [(b.role, list(b.members)) for b in found.bindings] == [
        (READER["role"], READER["members"])
    ]


def test_a_policy_read_before_another_change_is_refused(client: Any, secret: str) -> None:
    read_first = client.get_iam_policy(request={"resource": secret})
    client.set_iam_policy(request={"resource": secret, "policy": {"bindings": [READER]}})
    with pytest.raises(Aborted, match="read the policy again"):
        client.set_iam_policy(request={"resource": secret, "policy": read_first})


def test_permissions_are_those_of_an_owner(client: Any, secret: str) -> None:
    asked = ["secretmanager.versions.access", "secretmanager.secrets.delete"]
    found = client.test_iam_permissions(request={"resource": secret, "permissions": asked})
    assert list(found.permissions) == asked


def test_what_does_not_exist_has_no_policy(client: Any, secret: str) -> None:
    missing = f"{PARENT}/secrets/none"
    for call in (client.get_iam_policy, client.set_iam_policy, client.test_iam_permissions):
        with pytest.raises(NotFound):
            call(request={"resource": missing})
    client.set_iam_policy(request={"resource": secret, "policy": {"bindings": [READER]}})
    client.delete_secret(name=secret)
    client.create_secret(parent=PARENT, secret_id=secret.rpartition("/")[2], secret={**EVERYWHERE})
    assert list(client.get_iam_policy(request={"resource": secret}).bindings) == []


# What is kept


def test_secrets_and_policies_outlive_a_kill(tmp_path: Path) -> None:
    with emulator("secret_manager", state_dir=tmp_path) as first:
        client: Any = connect(first)
        name = new_secret(client, CANARY, b"two")
        client.destroy_secret_version(name=f"{name}/versions/2")
        client.set_iam_policy(request={"resource": name, "policy": {"bindings": [READER]}})
        first.kill()
    with emulator("secret_manager", state_dir=tmp_path) as second:
        client = connect(second)
        assert read(client, name, "1") == CANARY
        with pytest.raises(FailedPrecondition):
            read(client, name, "2")
        assert len(client.get_iam_policy(request={"resource": name}).bindings) == 1


def test_no_payload_lies_open_and_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    with emulator("secret_manager", state_dir=tmp_path) as running:
        new_secret(connect(running), CANARY)
        running.kill()
    master = tmp_path / "master.key"
    assert stat.S_IMODE(master.stat().st_mode) == 0o600
    assert all(CANARY not in file.read_bytes() for file in tmp_path.iterdir())
    master.chmod(0o604)
    with pytest.raises(NotStartedError), emulator("secret_manager", state_dir=tmp_path):
        pass
