"""The composition root of the gateway."""

from contracts.topology import instance_subscriptions
from libs.clock import system_clock
from libs.service import Parts, Process
from libs.settings import GatewaySettings
from libs.vault.secrets import Secrets, SecretSettings
from libs.vault.vault import Vault, VaultSettings
from libs.web.app import Layer
from services.gateway.answers import Answers
from services.gateway.api.edge import Edge
from services.gateway.api.groups import GROUPS, GUESTS
from services.gateway.api.pages import Cursors, Pages
from services.gateway.api.serving import routes_of
from services.gateway.auth import Authenticator
from services.gateway.backfill import Backfill
from services.gateway.cors import Cors
from services.gateway.handlers import cut_off, register
from services.gateway.idempotency import Idempotency, caller_of
from services.gateway.limits import Limits
from services.gateway.line import Line
from services.gateway.live import LiveRuns
from services.gateway.questions import Questions
from services.gateway.readiness import PlatformReadiness
from services.gateway.signing import Signing
from services.gateway.site import console_routes, document_routes
from services.gateway.trail import Trail

PEPPER = "api-key-pepper"


async def build(process: Process) -> Parts:
    settings = process.settings
    assert isinstance(settings, GatewaySettings)  # noqa: S101  __main__ loads these
    process.subscriptions = instance_subscriptions(settings.instance)
    secrets = Secrets.connect(
        SecretSettings(
            settings.gcp_project_id, settings.secrets_dir, settings.secret_manager_endpoint
        )
    )
    pepper = await secrets.wait_for(PEPPER)
    vault = Vault.connect(VaultSettings(settings.kms_key_name, settings.kms_endpoint))
    live = LiveRuns()
    requester = process.bus.requester
    limits = Limits(settings)
    auth = Authenticator(requester, pepper, settings, system_clock, limits)
    trail = Trail(process.bus.publisher, auth.remembered)
    cors, answers = Cors(settings.cors_origins), Answers(system_clock)
    register(process.router, live, auth)
    line = Line(process.bus, cut_off(live, auth), auth.doubt_all, auth.outlast_all)
    questions = Questions(requester, settings.question_timeout_seconds)
    edge = Edge(
        settings=settings,
        questions=questions,
        auth=auth,
        live=live,
        backfill=Backfill(questions, live, system_clock),
        pages=Pages(Cursors(pepper)),
        signing=Signing(secrets),
        pepper=pepper,
        vault=vault,
        clock=system_clock,
    )
    routes = [route for group in GROUPS for route in routes_of(group(edge), edge)]
    routes += [*document_routes(settings.environment), *console_routes()]

    async def end_streams() -> None:
        edge.stopping.set()
        live.wake_all()

    return Parts(
        router=process.router,
        when_stopping=(end_streams,),
        before_drain=(trail.finish,),
        checks=(PlatformReadiness(requester).check,),
        routes=routes,
        background=(answers.keep_purging, line.watch),
        layers=in_front(cors, limits, trail, Idempotency(caller_of(auth, GUESTS), answers)),
        closers=(secrets.close, vault.close),
    )


def in_front(cors: Cors, limits: Limits, trail: Trail, once: Idempotency) -> tuple[Layer, ...]:
    """What every request passes before its endpoint, in this order."""
    return *cors.layers, trail.layer, limits.layer, once.layer
