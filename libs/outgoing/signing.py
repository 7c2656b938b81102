"""Signing secrets of webhooks, worked out instead of kept.

Each is a keyed hash of whose webhook it is and how often its secret was rotated,
under one master key of Secret Manager. Who may read that key can show or use any
secret; nothing else stores one, so nothing else can leak one.
"""

import hmac
from base64 import b64encode
from hashlib import sha256

from contracts.identifiers import TenantId, WebhookId
from libs.outgoing.webhooks import PREFIX

MASTER = "webhook-signing-key"
"""Name of the master key among the platform's secrets."""


def signing_secret(master: bytes, tenant: TenantId, webhook: WebhookId, version: int) -> str:
    said = f"convergence/webhooks/{tenant}/{webhook}/{version}".encode()
    return PREFIX + b64encode(hmac.new(master, said, sha256).digest()).decode()
