"""What every group of routes is given."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from contracts.credentials import SealedPart
from libs.clock import Clock
from libs.settings import GatewaySettings
from libs.vault.vault import Purpose
from services.gateway.api.pages import Pages
from services.gateway.auth import Authenticator
from services.gateway.backfill import Backfill
from services.gateway.live import LiveRuns
from services.gateway.questions import Questions
from services.gateway.signing import Signing

RUNS = "/api/v1/pipelines/runs"
READING_SECONDS = 10.0
"""How long a question to the warehouse may take: a cold query is slower than a decision."""


class Sealer(Protocol):
    """Encrypts and cannot decrypt; raises `KmsUnavailableError`."""

    async def seal(self, secret: bytes, purpose: Purpose) -> SealedPart: ...


@dataclass(frozen=True, slots=True)
class Edge:
    """Built once by the composition root."""

    settings: GatewaySettings
    questions: Questions
    auth: Authenticator
    live: LiveRuns
    backfill: Backfill
    pages: Pages
    signing: Signing
    pepper: bytes
    vault: Sealer
    clock: Clock
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when open streams are to end."""
