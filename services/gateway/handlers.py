"""What the gateway makes of events: live runs, and keys to be asked for again."""

from collections.abc import Callable

from contracts.keys import KeyIssuedV1, KeyRevokedV1, KeyRotatedV1
from contracts.message import Message
from contracts.tenants import TenantOffboardedV1, TenantResumedV1, TenantSuspendedV1
from libs.bus.message import Context
from libs.bus.router import Router
from services.gateway.auth import Authenticator
from services.gateway.live import HANDLED, LiveRuns

KeyEvent = KeyIssuedV1 | KeyRevokedV1 | KeyRotatedV1
TenantEvent = TenantSuspendedV1 | TenantResumedV1 | TenantOffboardedV1


def register(router: Router, live: LiveRuns, auth: Authenticator) -> None:
    @router.on(*HANDLED)
    async def on_run_event(event: Message, context: Context) -> None:
        live.apply(event, context.envelope)

    @router.on(KeyIssuedV1, KeyRevokedV1, KeyRotatedV1)
    async def on_key_event(event: KeyEvent, _: Context) -> None:
        changed = event.key_hash if isinstance(event, KeyRevokedV1) else event.key.key_hash
        auth.forget_key(event.tenant_id, changed)
        if isinstance(event, KeyRotatedV1):
            auth.forget_key(event.tenant_id, event.old_key_hash)
        live.wake_tenant(event.tenant_id)  # whose key it was may be following a run

    @router.on(TenantSuspendedV1, TenantResumedV1, TenantOffboardedV1)
    async def on_tenant_event(event: TenantEvent, _: Context) -> None:
        auth.forget_tenant(event.tenant_id)
        live.wake_tenant(event.tenant_id)


def cut_off(live: LiveRuns, auth: Authenticator) -> Callable[[], None]:
    """Events that are late may end keys: nothing that is known of them counts any more."""

    def forget() -> None:
        auth.forget_all()
        live.wake_all()  # whose streams and waits look whether their key still opens

    return forget
