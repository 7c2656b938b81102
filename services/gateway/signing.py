"""Signing secrets of webhooks, for their owners to see once."""

from contracts.identifiers import TenantId, WebhookId
from libs.outgoing.signing import MASTER, signing_secret
from libs.vault.secrets import SecretError, Secrets
from libs.web.problem import Problem


class Signing:
    """Reads the master key at first use, so that a gateway starts without it."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._master = b""

    async def secret(self, tenant: TenantId, webhook: WebhookId, version: int) -> str:
        """Raises `Problem` while the master key cannot be read."""
        if not self._master:
            try:
                self._master = await self._secrets.get(MASTER)
            except SecretError:
                raise Problem(
                    503,
                    "secret_unavailable",
                    "Signing secrets cannot be made right now; try again in a moment.",
                    headers={"Retry-After": "5"},
                ) from None
        return signing_secret(self._master, tenant, webhook, version)
