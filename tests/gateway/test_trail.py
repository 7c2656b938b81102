"""The audit trail: every change that somebody with a key asked for, and its outcome."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from contracts.calls import ActorKind, CallAnsweredV1, CallOutcome
from contracts.identifiers import TenantId
from contracts.message import Service
from contracts.tenants import TenantStatus
from libs.bus.errors import PublishRefusedError
from libs.bus.publisher import Publisher
from services.gateway import keys
from tests.gateway.door import ADMIN_KEY, Recorder, visiting

if TYPE_CHECKING:
    from collections.abc import Callable


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


RUN = "/api/v1/pipelines/run/nightly"


async def test_a_call_of_a_suspended_tenant_is_told() -> None:
    async with visiting() as visitor:
        key = visitor.door.tenants.issue("acme")
        visitor.door.tenants.status["acme"] = TenantStatus.SUSPENDED
        assert await visitor.code(key, path=RUN, method="POST") == (403, "tenant_suspended")
        await visitor.call(key)  # reading is not told
        (event,) = await visitor.door.told()
        assert (event.tenant_id, event.actor, event.key) == (
            "acme",
            ActorKind.TENANT,
            key.last_four,
        )
        assert (event.outcome, event.code, event.count) == (
            CallOutcome.REFUSED,
            "tenant_suspended",
            1,
        )


async def test_a_flood_of_a_suspended_tenant_comes_to_its_limit_as_any_other() -> None:
    async with visiting(rate_limit_tenant=2) as visitor:
        key = visitor.door.tenants.issue("acme")
        visitor.door.tenants.status["acme"] = TenantStatus.SUSPENDED
        for _ in range(20):
            await visitor.call(key, RUN, "POST")
        assert [(event.status, event.count) for event in await visitor.door.told()] == [
            (403, 1),
            (403, 1),
            (429, 18),
        ]


@pytest.mark.parametrize("limit", ["rate_limit_tenant", "rate_limit_address"])
async def test_calls_that_are_too_many_are_told_once_for_each_key_with_their_number(
    limit: str,
) -> None:
    async with visiting(**{limit: 5}) as visitor:
        keys = [visitor.door.tenants.issue("acme") for _ in range(2)]
        for key in keys:
            await visitor.call(key)  # known from now on
        for _ in range(10):
            for key in keys:
                await visitor.call(key, RUN, "POST")
        ended = datetime.now(UTC)
        told = await visitor.door.told()
        wires = visitor.door.recorder.published
        counted = [w.attributes["ce-time"] for w in wires if b'"status":429' in w.data]
        assert all(datetime.fromisoformat(at) >= ended for at in counted)
        done = [event for event in told if event.status == 200]
        limited = {event.key: event for event in told if event.status == 429}
        assert len(told) == len(done) + len(keys)
        assert sum(event.count for event in told) == 20
        assert set(limited) == {key.last_four for key in keys}
        assert {event.code for event in limited.values()} == {"rate_limited"}
        assert {event.tenant_id for event in limited.values()} == {"acme"}


async def test_the_next_window_is_told_by_itself() -> None:
    async with visiting(rate_limit_tenant=1) as visitor:
        visitor.door.trail.counted_seconds = 0.01
        key = visitor.door.tenants.issue("acme")
        await visitor.call(key)
        published = visitor.door.recorder.published
        for window in range(1, 3):
            await visitor.call(key, RUN, "POST")
            async with asyncio.timeout(60):
                while len(published) < window:  # noqa: ASYNC110  it has no event
                    await asyncio.sleep(0)
        assert [event.count for event in await visitor.door.told()] == [1, 1]


async def test_an_operators_calls_that_are_too_many_are_told_too() -> None:
    async with visiting(rate_limit_address=1) as visitor:
        headers = {"X-Admin-Key": ADMIN_KEY}
        for tenant in ("one", "two", "three"):
            path = f"/api/v1/admin/tenants/{tenant}"
            await visitor.call(path=path, method="DELETE", headers=headers)
        done, limited = await visitor.door.told()
        assert (done.tenant_id, done.count) == ("one", 1)
        assert (limited.tenant_id, limited.actor, limited.key, limited.count) == (
            None,
            ActorKind.ADMIN,
            done.key,
            2,
        )


async def test_a_flood_of_strangers_is_not_told() -> None:
    async with visiting(rate_limit_address=1) as visitor:
        stranger = keys.mint(TenantId("acme"))
        for _ in range(5):
            await visitor.call(stranger, RUN, "POST")
        assert await visitor.door.told() == []


async def test_as_many_keys_as_there_are_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.gateway.trail.MOST_COUNTED", 3)
    async with visiting(rate_limit_tenant=1) as visitor:
        for number in range(10):
            key = visitor.door.tenants.issue(f"tenant_{number}")
            await visitor.call(key)
            await visitor.call(key, RUN, "POST")
        assert len(visitor.door.trail._counted) <= 3
        assert sum(event.count for event in await visitor.door.told()) == 10


class Slow(Recorder):
    """Takes the first page only when it is let, and refuses it if asked to."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.pages: list[int] = []
        self._refuses = refuses

    async def publish(self, topic: str, wires: Any) -> None:
        self.pages.append(len(wires))
        await self.let.wait()
        if self._refuses and len(self.pages) == 1:
            raise PublishRefusedError(topic, "too large")
        await super().publish(topic, wires)


async def test_what_waits_is_sent_together_each_in_the_trace_of_its_own_call() -> None:
    slow = Slow()
    async with visiting() as visitor:
        visitor.door.trail._publisher = Publisher(Service.GATEWAY, slow)
        key = visitor.door.tenants.issue("acme")
        traces = [f"{number:032x}" for number in range(1, 6)]
        for trace in traces:
            await visitor.call(key, RUN, "POST", {"traceparent": f"00-{trace}-{1:016x}-01"})
        answered = datetime.now(UTC)
        slow.let.set()
        await visitor.door.trail.finish()
    assert slow.pages == [1, 4]
    assert [wire.attributes["traceparent"].split("-")[1] for wire in slow.published] == traces
    assert all(datetime.fromisoformat(w.attributes["ce-time"]) <= answered for w in slow.published)


async def test_a_call_whose_event_cannot_be_made_is_logged_and_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("services.gateway.trail.LONGEST_USER", 1000)
    async with visiting() as visitor:
        key = visitor.door.tenants.issue("acme")
        for user in ("x" * 300, "maria"):
            assert (await visitor.call(key, RUN, "POST", {"X-User-ID": user})).status == 200
        assert [event.user_id for event in await visitor.door.told()] == ["maria"]
    assert "not told: 1 call, of acme" in caplog.text


async def test_what_cannot_be_told_is_logged_and_the_next_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = Slow(refuses=True)
    async with visiting() as visitor:
        visitor.door.trail._publisher = Publisher(Service.GATEWAY, slow)
        key = visitor.door.tenants.issue("acme")
        for _ in range(3):
            await visitor.call(key, RUN, "POST")
        slow.let.set()
        await visitor.door.trail.finish()
    assert len(slow.published) == 2
    assert "not told: 1 calls, of acme" in caplog.text


async def test_calls_wait_while_too_many_are_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.trail.MOST_WAITING", 2)
    slow = Slow()
    async with visiting() as visitor:
        visitor.door.trail._publisher = Publisher(Service.GATEWAY, slow)
        key = visitor.door.tenants.issue("acme")
        for _ in range(3):  # one is being sent, two wait
            await visitor.call(key, RUN, "POST")
        fourth = asyncio.create_task(visitor.call(key, RUN, "POST"))
        assert not (await asyncio.wait({fourth}, timeout=0.2))[0]
        slow.let.set()
        assert (await fourth).status == 200
        await visitor.door.trail.finish()
    assert len(slow.published) == 4


class Busy(Slow):
    """Has something more to take whenever it has taken a page, as under steady load."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on: Callable[[], bool] = lambda: True
        """Whether there is more, or never will be."""

    async def publish(self, topic: str, wires: Any) -> None:
        await super().publish(topic, wires)
        async with asyncio.timeout(60):
            while not self.goes_on():  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0)


async def test_a_call_that_waited_goes_on_while_others_keep_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.gateway.trail.MOST_WAITING", 2)
    busy = Busy()
    async with visiting() as visitor:
        visitor.door.trail._publisher = Publisher(Service.GATEWAY, busy)
        busy.goes_on = lambda: bool(visitor.door.trail._untold)
        key = visitor.door.tenants.issue("acme")
        for _ in range(3):
            await visitor.call(key, RUN, "POST")
        held = [asyncio.create_task(visitor.call(key, RUN, "POST")) for _ in range(5)]
        await asyncio.wait(held, timeout=0.2)
        busy.let.set()
        async with asyncio.timeout(60):
            while not all(one.done() for one in held):
                await visitor.call(key, RUN, "POST")
        busy.goes_on = lambda: True
        assert {one.result().status for one in held} == {200}
        await visitor.door.trail.finish()
    assert len(busy.published) >= 8
