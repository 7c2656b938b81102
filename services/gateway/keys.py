"""API keys: made here, shown once, and known everywhere else by their hash alone.

`<tenant>_api_<43 characters of 256 random bits><6 characters of checksum>`. The
checksum turns away garbage without asking anybody; the hash is keyed by a pepper
that lies in Secret Manager, so a stolen table of hashes opens nothing.
"""

import hmac
import re
from dataclasses import dataclass

from contracts.identifiers import InvalidIdentifierError, KeyHash, TenantId
from libs.vault.keys import (
    CHECKSUM_LENGTH,
    RANDOM_LENGTH,
    base62,
    base62_checksum,
    random_base62,
)

_FORM = re.compile(rf"(.+)_api_([0-9A-Za-z]{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key whose form and checksum are right; whether it was issued is another matter."""

    tenant_id: TenantId
    text: str

    @property
    def last_four(self) -> str:
        return self.text[-4:]

    def hash(self, pepper: bytes) -> KeyHash:
        return KeyHash(hmac.digest(pepper, self.text.encode(), "sha256").hex())

    def __repr__(self) -> str:
        return f"ApiKey({self.tenant_id}, …{self.last_four})"


def mint(tenant_id: TenantId) -> ApiKey:
    return _made(tenant_id, random_base62())


def derive(tenant_id: TenantId, pepper: bytes, seed: str) -> ApiKey:
    """The same key again for the same seed; without the pepper nobody can tell which."""
    return _made(tenant_id, base62(hmac.digest(pepper, f"mint\0{seed}".encode(), "sha256")))


def _made(tenant_id: TenantId, digits: str) -> ApiKey:
    body = f"{tenant_id}_api_{digits}"
    return ApiKey(tenant_id, body + base62_checksum(body))


def parse(text: str) -> ApiKey | None:
    """None for what cannot be a key of ours."""
    match = _FORM.fullmatch(text)
    if match is None or not text.isascii():
        return None
    body, checksum = text[:-CHECKSUM_LENGTH], text[-CHECKSUM_LENGTH:]
    if not hmac.compare_digest(base62_checksum(body), checksum):
        return None
    try:
        return ApiKey(TenantId(match.group(1)), text)
    except InvalidIdentifierError:
        return None
