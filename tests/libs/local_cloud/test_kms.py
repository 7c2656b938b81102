"""Google's own client against the KMS emulator."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import google_crc32c
import grpc
import pytest
from google.api_core.exceptions import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    MethodNotImplemented,
    NotFound,
)
from google.cloud.kms_v1 import KeyManagementServiceClient, types
from google.cloud.kms_v1.services.key_management_service.transports import (
    KeyManagementServiceGrpcTransport,
)

from libs.testing.processes import EmulatorProcess, NotStartedError, emulator

LOCATION = "projects/p/locations/global"
PLAINTEXT = b"a data key of thirty-two bytes!!"
SEALING = {"purpose": types.CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT}
STATE = types.CryptoKeyVersion.CryptoKeyVersionState


def connect(running: EmulatorProcess) -> KeyManagementServiceClient:
    channel = grpc.insecure_channel(f"127.0.0.1:{running.ports['grpc']}")
    return KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with emulator("kms") as running:
        found = connect(running)
        yield found
        found.transport.close()


@pytest.fixture
def key(client: Any) -> str:
    return new_key(client)


def new_key(client: Any, **options: Any) -> str:
    ring = client.create_key_ring(parent=LOCATION, key_ring_id=f"r{uuid4().hex}", key_ring={})
    made = client.create_crypto_key(
        parent=ring.name, crypto_key_id="k", crypto_key={**SEALING, **options}
    )
    return str(made.name)


def set_state(client: Any, version: str, state: Any) -> None:
    client.update_crypto_key_version(
        crypto_key_version={"name": version, "state": state}, update_mask={"paths": ["state"]}
    )


# Resources


def test_keys_are_made_once_found_and_listed(client: Any) -> None:
    name = new_key(client, labels={"team": "cost"})
    ring = name.rpartition("/cryptoKeys/")[0]
    found = client.get_crypto_key(name=name)
    assert (dict(found.labels), found.primary.state) == ({"team": "cost"}, STATE.ENABLED)
    assert found.primary.name == f"{name}/cryptoKeyVersions/1"
    assert [key.name for key in client.list_crypto_keys(parent=ring)] == [name]
    assert ring in {one.name for one in client.list_key_rings(parent=LOCATION)}
    with pytest.raises(AlreadyExists):
        client.create_key_ring(parent=LOCATION, key_ring_id=ring.rpartition("/")[2], key_ring={})
    with pytest.raises(AlreadyExists):
        client.create_crypto_key(parent=ring, crypto_key_id="k", crypto_key=SEALING)


def test_what_does_not_exist_is_not_found(client: Any, key: str) -> None:
    ring = key.rpartition("/cryptoKeys/")[0]
    with pytest.raises(NotFound):
        client.get_key_ring(name=f"{LOCATION}/keyRings/none")
    with pytest.raises(NotFound):
        client.get_crypto_key(name=f"{ring}/cryptoKeys/none")
    with pytest.raises(NotFound):
        client.encrypt(name=f"{ring}/cryptoKeys/none", plaintext=b"x")
    with pytest.raises(NotFound):
        client.get_crypto_key_version(name=f"{key}/cryptoKeyVersions/9")


@pytest.mark.parametrize("bad", ["", "a/b", "a" * 64], ids=["empty", "slash", "long"])
def test_a_bad_id_is_refused(client: Any, bad: str) -> None:
    with pytest.raises(InvalidArgument, match="key_ring_id"):
        client.create_key_ring(parent=LOCATION, key_ring_id=bad, key_ring={})


def test_labels_change_and_nothing_else_that_is_fixed(client: Any, key: str) -> None:
    changed = client.update_crypto_key(
        crypto_key={"name": key, "labels": {"a": "1"}}, update_mask={"paths": ["labels"]}
    )
    assert dict(changed.labels) == {"a": "1"}
    with pytest.raises(InvalidArgument, match="purpose"):
        client.update_crypto_key(crypto_key={"name": key}, update_mask={"paths": ["purpose"]})


def test_other_purposes_are_not_emulated_and_say_so(client: Any, key: str) -> None:
    ring = key.rpartition("/cryptoKeys/")[0]
    with pytest.raises(MethodNotImplemented, match="ENCRYPT_DECRYPT"):
        client.create_crypto_key(
            parent=ring,
            crypto_key_id="signing",
            crypto_key={"purpose": types.CryptoKey.CryptoKeyPurpose.ASYMMETRIC_SIGN},
        )


# Encryption


def test_what_is_encrypted_is_decrypted_and_summed(client: Any, key: str) -> None:
    sealed = client.encrypt(
        request={
            "name": key,
            "plaintext": PLAINTEXT,
            "plaintext_crc32c": google_crc32c.value(PLAINTEXT),
            "additional_authenticated_data": b"acme",
            "additional_authenticated_data_crc32c": google_crc32c.value(b"acme"),
        }
    )
    assert sealed.verified_plaintext_crc32c
    assert sealed.verified_additional_authenticated_data_crc32c
    assert sealed.ciphertext_crc32c == google_crc32c.value(sealed.ciphertext)
    assert PLAINTEXT not in sealed.ciphertext
    opened = client.decrypt(
        request={
            "name": key,
            "ciphertext": sealed.ciphertext,
            "ciphertext_crc32c": sealed.ciphertext_crc32c,
            "additional_authenticated_data": b"acme",
        }
    )
    assert (opened.plaintext, opened.used_primary) == (PLAINTEXT, True)
    assert opened.plaintext_crc32c == google_crc32c.value(PLAINTEXT)


def test_no_ciphertext_comes_twice(client: Any, key: str) -> None:
    made = {client.encrypt(name=key, plaintext=PLAINTEXT).ciphertext for _ in range(20)}
    assert len(made) == 20


@pytest.mark.parametrize(
    "change",
    [
        {"additional_authenticated_data": b"other"},
        {"additional_authenticated_data": b""},
        {"ciphertext": b""},
        {"ciphertext": b"\0\0\0\1 short"},
        {"ciphertext_crc32c": 1},
        {"additional_authenticated_data_crc32c": 1},
    ],
    ids=["other-data", "no-data", "empty", "short", "wrong-sum", "wrong-data-sum"],
)
def test_what_was_not_encrypted_so_is_refused(
    client: Any, key: str, change: dict[str, Any]
) -> None:
    sealed = client.encrypt(
        request={"name": key, "plaintext": b"x", "additional_authenticated_data": b"acme"}
    )
    request = {
        "name": key,
        "ciphertext": sealed.ciphertext,
        "additional_authenticated_data": b"acme",
    }
    with pytest.raises(InvalidArgument):
        client.decrypt(request={**request, **change})


@pytest.mark.parametrize("at", [0, 4, 20, -1], ids=["version", "nonce", "body", "tag"])
def test_a_changed_byte_is_noticed(client: Any, key: str, at: int) -> None:
    tampered = bytearray(client.encrypt(name=key, plaintext=PLAINTEXT).ciphertext)
    tampered[at] ^= 1
    with pytest.raises(InvalidArgument):
        client.decrypt(name=key, ciphertext=bytes(tampered))


def test_another_key_opens_nothing(client: Any, key: str) -> None:
    sealed = client.encrypt(name=key, plaintext=PLAINTEXT)
    with pytest.raises(InvalidArgument):
        client.decrypt(name=new_key(client), ciphertext=sealed.ciphertext)


def test_a_plaintext_damaged_on_its_way_is_refused(client: Any, key: str) -> None:
    with pytest.raises(InvalidArgument, match="plaintext_crc32c"):
        client.encrypt(request={"name": key, "plaintext": b"x", "plaintext_crc32c": 1})


def test_a_plaintext_has_a_limit(client: Any, key: str) -> None:
    client.encrypt(name=key, plaintext=b"x" * 65_536)
    with pytest.raises(InvalidArgument, match="64 KiB"):
        client.encrypt(name=key, plaintext=b"x" * 65_537)


# Versions


def test_rotation_keeps_what_is_old_readable(client: Any, key: str) -> None:
    old = client.encrypt(name=key, plaintext=PLAINTEXT)
    version = client.create_crypto_key_version(parent=key, crypto_key_version={})
    assert client.get_crypto_key(name=key).primary.name == old.name
    client.update_crypto_key_primary_version(name=key, crypto_key_version_id="2")
    opened = client.decrypt(name=key, ciphertext=old.ciphertext)
    assert (opened.plaintext, opened.used_primary) == (PLAINTEXT, False)
    assert client.encrypt(name=key, plaintext=PLAINTEXT).name == version.name
    versions = [one.name for one in client.list_crypto_key_versions(parent=key)]
    assert versions == [old.name, version.name]


def test_a_disabled_version_neither_encrypts_nor_decrypts_until_it_is_enabled(
    client: Any, key: str
) -> None:
    sealed = client.encrypt(name=key, plaintext=PLAINTEXT)
    set_state(client, sealed.name, STATE.DISABLED)
    with pytest.raises(FailedPrecondition, match="DISABLED"):
        client.decrypt(name=key, ciphertext=sealed.ciphertext)
    with pytest.raises(FailedPrecondition, match="DISABLED"):
        client.encrypt(name=key, plaintext=PLAINTEXT)
    set_state(client, sealed.name, STATE.ENABLED)
    assert client.decrypt(name=key, ciphertext=sealed.ciphertext).plaintext == PLAINTEXT


def test_a_version_to_be_destroyed_can_be_restored(client: Any, key: str) -> None:
    sealed = client.encrypt(name=key, plaintext=PLAINTEXT)
    doomed = client.destroy_crypto_key_version(name=sealed.name)
    assert doomed.state == STATE.DESTROY_SCHEDULED
    assert doomed.destroy_time is not None
    with pytest.raises(FailedPrecondition, match="DESTROY_SCHEDULED"):
        client.decrypt(name=key, ciphertext=sealed.ciphertext)
    client.restore_crypto_key_version(name=sealed.name)
    set_state(client, sealed.name, STATE.ENABLED)
    assert client.decrypt(name=key, ciphertext=sealed.ciphertext).plaintext == PLAINTEXT


# What is kept


def test_keys_outlive_a_kill(tmp_path: Path) -> None:
    with emulator("kms", state_dir=tmp_path) as first:
        client: Any = connect(first)
        key = new_key(client)
        sealed = client.encrypt(name=key, plaintext=PLAINTEXT)
        client.create_crypto_key_version(parent=key, crypto_key_version={})
        first.kill()
    with emulator("kms", state_dir=tmp_path) as second:
        client = connect(second)
        assert client.decrypt(name=key, ciphertext=sealed.ciphertext).plaintext == PLAINTEXT
        assert len(list(client.list_crypto_key_versions(parent=key))) == 2


def test_the_master_key_is_for_its_owner_alone_and_no_key_lies_open(tmp_path: Path) -> None:
    with emulator("kms", state_dir=tmp_path) as running:
        new_key(connect(running))
    master = tmp_path / "master.key"
    assert stat.S_IMODE(master.stat().st_mode) == 0o600
    assert len(master.read_bytes()) == 32
    assert all(master.read_bytes() not in f.read_bytes() for f in tmp_path.glob("kms.db*"))
    master.chmod(0o640)
    with pytest.raises(NotStartedError), emulator("kms", state_dir=tmp_path):
        pass


def test_without_its_master_key_old_state_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with emulator("kms", state_dir=tmp_path) as running:
        new_key(connect(running))
    (tmp_path / "master.key").unlink()
    with pytest.raises(NotStartedError), emulator("kms", state_dir=tmp_path):
        pass
    assert "master.key is missing" in capfd.readouterr().err
