"""Credentials of every provider, as they look, with a canary in each secret field."""

from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

CANARY = "c4n4ry"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"


@cache
def service_account_key() -> str:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def credentials(mark: str = "one") -> dict[str, dict[str, Any]]:
    """By provider; `mark` makes them differ."""
    return {
        "GCP": {
            "type": "service_account",
            "project_id": "acme-billing",
            "private_key_id": f"{CANARY}-key-id-{mark}",
            "private_key": service_account_key(),
            "client_email": "export@acme-billing.iam.gserviceaccount.com",
        },
        "AWS": {
            "access_key_id": "AKIAC4N4RYEXAMPLE123",
            "secret_access_key": f"{CANARY}{mark}".ljust(40, "S"),
        },
        "AZURE": {
            "tenant_id": TENANT,
            "client_id": TENANT,
            "client_secret": f"{CANARY}~azure~{mark}",
        },
        "OPENAI": {"api_key": f"sk-{CANARY}-openai-{mark}-0123456789"},
        "ANTHROPIC": {"api_key": f"sk-ant-{CANARY}-{mark}-0123456789"},
        "GENERIC": {"username": "acme", "password": f"{CANARY}-password-{mark}"},
    }


def secrets_in(fields: dict[str, Any]) -> list[str]:
    """What must appear nowhere: the canaries, and lines from the middle of a private key."""
    found = [value for value in fields.values() if CANARY in str(value)]
    if "private_key" in fields:
        found += fields["private_key"].splitlines()[5:8]
    return found
