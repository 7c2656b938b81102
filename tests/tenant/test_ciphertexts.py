"""Ciphertexts beside the log, over Cloud Storage's API."""

import json
from uuid import uuid4

from contracts.credentials import SealedPart
from contracts.identifiers import CredentialId, TenantId
from libs.slotlog.bucket import Bucket
from services.tenant.ciphertexts import Ciphertexts

SEALED = SealedPart(
    version=1, kms_key="key", wrapped_key=b"d3JhcA==", nonce=b"bm9uY2U=", ciphertext=b"dGV4dA=="
)


async def test_what_a_later_release_kept_is_read(bucket: Bucket) -> None:
    """So that it can be deployed beside this one, and taken back."""
    kept = Ciphertexts(bucket)
    ref = await kept.keep(TenantId("first_inc"), CredentialId("openai"), str(uuid4()), SEALED)
    assert await kept.read(ref) == SEALED
    body = await bucket.fetch(ref)
    assert body is not None
    await bucket.replace(ref, json.dumps({**json.loads(body), "later": 1}).encode())
    assert await kept.read(ref) == SEALED
