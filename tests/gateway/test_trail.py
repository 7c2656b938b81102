"""The audit trail: every change that somebody with a key asked for, and its outcome."""

from contracts.calls import ActorKind, CallAnsweredV1, CallOutcome
from tests.gateway.door import ADMIN_KEY, visiting


async def test_a_refused_change_is_told_with_who_what_and_why() -> None:
    async with visiting() as visitor:
        key = visitor.door.tenants.issue("acme")
        path = "/api/v1/pipelines/configs/nightly"
        answer = await visitor.call(key, path, "DELETE", {"X-User-ID": "maria"})
        assert await visitor.door.told() == [
            CallAnsweredV1.model_validate(
                {
                    "tenant_id": "acme",
                    "actor": ActorKind.TENANT,
                    "key": key.last_four,
                    "user_id": "maria",
                    "method": "DELETE",
                    "route": "/api/v1/pipelines/configs/{config_id}",
                    "target": {"config_id": "nightly"},
                    "outcome": CallOutcome.REFUSED,
                    "status": 412,
                    "code": "revision_conflict",
                    "request_id": answer.headers["X-Request-ID"],
                }
            )
        ]


async def test_an_operators_change_is_told_of_the_tenant_it_is_about() -> None:
    async with visiting() as visitor:
        path = "/api/v1/admin/tenants/acme"
        await visitor.call(path=path, method="DELETE", headers={"X-Admin-Key": ADMIN_KEY})
        (event,) = await visitor.door.told()
        assert (event.tenant_id, event.actor, event.outcome) == (
            "acme",
            ActorKind.ADMIN,
            CallOutcome.DONE,
        )
        assert event.key
        assert event.key not in ADMIN_KEY


async def test_reading_and_strangers_leave_no_trail() -> None:
    async with visiting() as visitor:
        key = visitor.door.tenants.issue("acme")
        await visitor.call(key)
        await visitor.call("garbage", "/api/v1/pipelines/run/nightly", "POST")
        await visitor.call(path="/api/v1/admin/tenants/acme", method="DELETE")
        assert await visitor.door.told() == []
