"""Signatures of Standard Webhooks (standardwebhooks.com), symmetric, version 1."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from datetime import datetime

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
SENDER = "convergence-data-pipeline"


class BadSecretError(ValueError):
    """A signing secret in another form; its text is never quoted."""

    def __init__(self) -> None:
        super().__init__(
            f"a signing secret is {PREFIX} and the Base64 of {SHORTEST} to {LONGEST} random bytes"
        )


def signed_headers(
    webhook_id: str, at: datetime, body: bytes, secrets: Sequence[str]
) -> Mapping[str, str]:
    """Headers to send with `body`; several secrets while one replaces another."""
    seconds = str(int(at.timestamp()))
    message = f"{webhook_id}.{seconds}.".encode() + body
    signatures = (_signature(message, _key(secret)) for secret in secrets)
    return {
        "content-type": "application/json",
        "user-agent": SENDER,
        "webhook-id": webhook_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _signature(message: bytes, key: bytes) -> str:
    return b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    try:
        key = b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (Base64Error, ValueError):
        raise BadSecretError from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise BadSecretError
    return key
