"""The gateway's HTTP side with its bus scripted: every question goes to a function."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

from aiohttp import web
from pydantic import SecretStr

from contracts.credentials import SealedPart
from contracts.identifiers import TenantId
from contracts.keys import FindKeyV1, KeyFoundV1, KeyPart, StoredKeyPart
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from contracts.tenants import TenantStatus
from libs.bus.errors import NoAnswerError, RefusedError
from libs.bus.requester import Requester
from libs.clock import Clock
from libs.settings import Environment, GatewaySettings
from libs.vault.secrets import Secrets, SecretSettings
from libs.vault.vault import KmsUnavailableError, Purpose
from libs.web.app import About, Layer, create_app
from libs.web.server import serve
from services.gateway import keys
from services.gateway.answers import Answers
from services.gateway.api.edge import Edge
from services.gateway.api.groups import GROUPS, GUESTS
from services.gateway.api.pages import Cursors, Pages
from services.gateway.api.serving import routes_of
from services.gateway.auth import Authenticator
from services.gateway.backfill import Backfill
from services.gateway.idempotency import Idempotency, caller_of
from services.gateway.limits import Limits
from services.gateway.live import LiveRuns
from services.gateway.questions import Questions
from services.gateway.signing import Signing

PEPPER = b"pepper-of-tests"
ADMIN_KEY = "cvadm_only-for-tests"
TENANT = TenantId("acme_cloud")
KEY = keys.mint(TENANT)
NOW = datetime(2026, 3, 14, 9, 26, tzinfo=UTC)
M = TypeVar("M", bound=Message)
Script = Callable[[Message], Message | None]


class ScriptedRequester(Requester):
    """Answers from a script; knows one key. What it was asked is in `asked`."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[Message] = []

    async def ask_many(
        self,
        question: Message,
        *answers: type[M],
        within: float,
        wanted: int,
        id_: str = "",
        **_: object,
    ) -> list[M]:
        del wanted  # there is one answer
        self.asked.append(question)
        answer = await self.answer(question, answers, id_)
        if isinstance(answer, CommandRefusedV1):
            raise RefusedError(answer)
        if answer is None:
            raise NoAnswerError(question.wire_type, within)
        assert isinstance(answer, answers)
        return [answer]

    async def answer(
        self, question: Message, wanted: tuple[type[Message], ...], id_: str
    ) -> Message | None:
        """The script's; overridden by who needs more than the question for it."""
        del wanted, id_
        return found_key(question) if isinstance(question, FindKeyV1) else self._script(question)


class NoKms:
    """A KMS that is away."""

    async def seal(self, secret: bytes, purpose: Purpose) -> SealedPart:
        raise KmsUnavailableError(f"{purpose.provider}: {len(secret)} bytes")


def found_key(question: FindKeyV1, only: keys.ApiKey = KEY) -> KeyFoundV1:
    known = question.key_hash == only.hash(PEPPER)
    part = KeyPart(key_hash=question.key_hash, last_four="0000")
    stored = StoredKeyPart(key=part, is_active=True, created_at=NOW, created_by="test")
    return KeyFoundV1(
        tenant_id=question.tenant_id,
        key_hash=question.key_hash,
        key=stored if known else None,
        tenant_status=TenantStatus.ACTIVE,
    )


def silence(_: Message) -> None:
    return None


class OneSecret(Secrets):
    """The same for every name."""

    async def get(self, name: str) -> bytes:
        return name.encode().ljust(32, b"-")


def edge_on(
    script: Script = silence,
    settings: GatewaySettings | None = None,
    requester: ScriptedRequester | None = None,
    limits: Limits | None = None,
    clock: Clock = lambda: NOW,
) -> Edge:
    settings = settings or GatewaySettings(admin_api_key=SecretStr(ADMIN_KEY))
    requester = requester or ScriptedRequester(script)
    limits = limits or Limits(settings)
    questions = Questions(requester, settings.question_timeout_seconds)
    live = LiveRuns(clock)
    return Edge(
        settings=settings,
        questions=questions,
        auth=Authenticator(requester, PEPPER, settings, lambda: NOW, limits),
        live=live,
        backfill=Backfill(questions, live, clock),
        pages=Pages(Cursors(PEPPER)),
        signing=Signing(OneSecret(SecretSettings("convergence-local"))),
        pepper=PEPPER,
        vault=NoKms(),
        clock=clock,
    )


def once_for(auth: Authenticator) -> Idempotency:
    return Idempotency(caller_of(auth, GUESTS), Answers(lambda: NOW))


def routes_on(edge: Edge) -> list[web.RouteDef]:
    return [route for group in GROUPS for route in routes_of(group(edge), edge)]


@asynccontextmanager
async def serving(edge: Edge, layers: Sequence[Layer] = ()) -> AsyncIterator[str]:
    """The URL of a gateway that listens on loopback."""

    async def nothing() -> list[str]:
        return []

    about = About("gateway", "0", Environment.DEVELOPMENT.value)
    app = create_app(about, nothing, routes_on(edge), layers)
    runner, port = await serve(app, host="127.0.0.1", port=0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
