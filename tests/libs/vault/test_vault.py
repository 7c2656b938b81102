"""Secrets open for what they were sealed for, and for nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud.kms_v1 import DecryptResponse

from libs.testing.processes import emulator
from libs.vault.vault import (
    CannotOpenError,
    DamagedInTransitError,
    KmsUnavailableError,
    Purpose,
    Vault,
    VaultSettings,
)

KEY = "projects/p/locations/global/keyRings/convergence/cryptoKeys/credentials"
SECRET = b'{"client_secret":"s3cr3t-canary"}'
OURS = Purpose("acme", "GCP", "billing")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with emulator("kms") as running:
        yield f"127.0.0.1:{running.ports['grpc']}"


@pytest.fixture
async def vault(endpoint: str) -> Vault:
    found = Vault.connect(VaultSettings(KEY, endpoint))
    await found.ensure_key()
    return found


async def test_what_is_sealed_opens_for_its_purpose(vault: Vault) -> None:
    sealed = await vault.seal(SECRET, OURS)
    assert SECRET not in sealed.ciphertext
    assert await vault.open(type(sealed).model_validate_json(sealed.model_dump_json()), OURS) == (
        SECRET
    )


@pytest.mark.parametrize(
    "purpose",
    [
        Purpose("acme_two", "GCP", "billing"),
        Purpose("acme", "AWS", "billing"),
        Purpose("acme", "GCP", "other"),
        Purpose("acm", "eGCP", "billing"),
    ],
    ids=["tenant", "provider", "credential", "shifted border"],
)
async def test_a_moved_ciphertext_does_not_open(vault: Vault, purpose: Purpose) -> None:
    sealed = await vault.seal(SECRET, OURS)
    with pytest.raises(CannotOpenError) as caught:
        await vault.open(sealed, purpose)
    assert "s3cr3t" not in str(caught.value)


async def test_a_damaged_ciphertext_does_not_open(vault: Vault) -> None:
    sealed = await vault.seal(SECRET, OURS)
    damaged = bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:]
    with pytest.raises(CannotOpenError):
        await vault.open(sealed.model_copy(update={"ciphertext": damaged}), OURS)


async def test_a_kms_that_is_away_is_said_so() -> None:
    vault = Vault.connect(VaultSettings(KEY, "127.0.0.1:9"))
    with pytest.raises(KmsUnavailableError):
        await vault.seal(SECRET, OURS)
    await vault.close()


async def test_a_key_that_changed_on_its_way_back_is_not_used(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = await vault.seal(SECRET, OURS)
    answer = vault._client.decrypt

    async def damaged(**given: Any) -> DecryptResponse:
        found = await answer(**given)
        found.plaintext = bytes(len(found.plaintext))
        return found

    monkeypatch.setattr(vault._client, "decrypt", damaged)
    with pytest.raises(DamagedInTransitError):
        await vault.open(sealed, OURS)
