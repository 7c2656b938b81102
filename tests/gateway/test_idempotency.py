"""A POST with an Idempotency-Key is carried out once, and its answer belongs to its caller."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from contracts.identifiers import RunId, TenantId
from contracts.runs import CancelRunV1
from libs.web.app import About, answer, create_app
from libs.web.problem import Problem
from services.gateway import answers
from services.gateway.answers import Answer, Answers
from services.gateway.idempotency import Idempotency, command_id

CANCEL = CancelRunV1(
    tenant_id=TenantId("acme"),
    run_id=RunId("00000000-0000-4000-8000-000000000001"),
    requested_by="test",
)


@dataclass(slots=True)
class Service:
    """One instance of a gateway with one route."""

    client: Any = None
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    calls: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    """What the next calls lead to; afterwards each is answered with its number."""
    gate: asyncio.Event | None = None
    remembered: Any = None

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append(await request.read())
        self.ids += [command_id(CANCEL), command_id(CANCEL)]
        if self.gate is not None:
            await self.gate.wait()
        found = self.answers.pop(0) if self.answers else {"number": len(self.calls)}
        if isinstance(found, Exception):
            raise found
        return (
            found if isinstance(found, web.Response) else answer(found, status=202, Location="/x")
        )

    async def post(
        self, body: str = "{}", *, key: str = "one", who: str = "acme", path: str = "/things"
    ) -> tuple[int, Any]:
        headers = {"Idempotency-Key": key, "X-API-Key": who}
        found = await self.client.post(path, data=body, headers=headers)
        return found.status, await found.json()


async def caller(request: web.Request) -> str:
    if request.headers["X-API-Key"] == "revoked":
        raise Problem(401, "invalid_api_key", "not any more")
    return request.headers["X-API-Key"]


async def start() -> Service:
    async def never() -> list[str]:
        return []

    found = Service()
    found.remembered = Answers(lambda: found.now)
    routes = [
        web.post("/things", found.handle),
        web.post("/others", found.handle),
        web.put("/things", found.handle),
    ]
    layers = [Idempotency(caller, found.remembered).layer]
    app = create_app(About("gateway", "1", "test"), never, routes, layers)
    found.client = TestClient(TestServer(app))
    await found.client.start_server()
    return found


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    found = await start()
    yield found
    await found.client.close()


async def test_a_repeat_gets_the_same_answer_and_does_nothing(service: Service) -> None:
    first = await service.client.post(
        "/things", data="{}", headers={"Idempotency-Key": "one", "X-API-Key": "acme"}
    )
    again = await service.client.post(
        "/things", data="{}", headers={"Idempotency-Key": "one", "X-API-Key": "acme"}
    )
    assert await first.read() == await again.read()
    assert (again.status, again.headers["Location"]) == (202, "/x")
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (
        None,
        "true",
    )
    assert first.headers["X-Request-ID"] != again.headers["X-Request-ID"]
    assert len(service.calls) == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [('{"a":1}', "/things"), ("{}", "/things?b=1"), ("{}", "/others")],
    ids=["body", "query", "path"],
)
async def test_the_key_of_another_request_is_refused(
    service: Service, body: str, path: str
) -> None:
    await service.post()
    status, problem = await service.post(body, path=path)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    assert len(service.calls) == 1


async def test_a_repeat_while_the_first_still_runs_is_told_so(service: Service) -> None:
    service.gate = asyncio.Event()
    first = asyncio.create_task(service.post())
    async with asyncio.timeout(60):
        while not service.calls:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0)
    status, problem = await service.post()
    assert (status, problem["code"]) == (409, "request_in_progress")
    assert (await service.post('{"a":1}'))[0] == 422
    service.gate.set()
    assert await first == await service.post() == (202, {"number": 1})


async def test_what_was_refused_or_failed_is_judged_anew(service: Service) -> None:
    service.answers = [
        Problem(409, "tenant_exists", "it is there"),
        Problem(504, "no_answer_yet", "wait"),
        RuntimeError("broken"),
    ]
    assert [(await service.post())[0] for _ in range(5)] == [409, 504, 500, 202, 202]
    assert len(service.calls) == 4


async def test_answers_belong_to_their_caller(service: Service) -> None:
    assert await service.post(who="acme") == (202, {"number": 1})
    assert await service.post(who="other") == (202, {"number": 2})
    assert await service.post(who="acme") == (202, {"number": 1})


async def test_who_may_no_longer_call_gets_no_old_answer(service: Service) -> None:
    assert (await service.post(who="revoked"))[0] == 401
    assert service.calls == []


async def test_nobody_unknown_is_remembered(service: Service) -> None:
    assert [(await service.post(who=""))[1]["number"] for _ in range(2)] == [1, 2]


async def test_only_posts_with_a_key_are_remembered(service: Service) -> None:
    for _ in range(2):
        await service.client.post("/things", headers={"X-API-Key": "acme"})
        await service.client.put("/things", headers={"Idempotency-Key": "1", "X-API-Key": "acme"})
    assert len(service.calls) == 4


@pytest.mark.parametrize("key", ["", "a" * 256], ids=["empty", "long"])
async def test_a_bad_key_is_refused(service: Service, key: str) -> None:
    status, problem = await service.post(key=key)
    assert (status, problem["errors"][0]["pointer"]) == (400, "/Idempotency-Key")


async def test_answers_are_forgotten_after_a_day_and_secrets_sooner(service: Service) -> None:
    service.answers = [answer({"api_key": "x"}, Cache_Control="no-store")]
    await service.post(key="secret")
    await service.post(key="plain")
    service.now += timedelta(minutes=11)
    assert (await service.post(key="secret"))[1] == {"number": 3}
    assert (await service.post(key="plain"))[1] == {"number": 2}
    service.now += timedelta(hours=24)
    assert (await service.post('{"new":1}', key="plain"))[1] == {"number": 4}


async def weight_of_one(service: Service) -> int:
    """Of an answer such as these tests get, with a digit to spare."""
    await service.post(who="weighed")
    weight: int = service.remembered._weight
    return weight + 1


async def test_what_has_ended_is_gone_also_when_nobody_asks(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PURGED_EVERY_SECONDS", 0.0)
    service.answers = [answer({"api_key": "acme_api_x"}, Cache_Control="no-store")]
    await service.post(key="secret")
    await service.post(key="plain")
    purging = asyncio.create_task(service.remembered.keep_purging())
    for waited, left in ((timedelta(minutes=10), 1), (timedelta(hours=24), 0)):
        service.now += waited
        async with asyncio.timeout(60):
            while len(service.remembered) != left:  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0)
    assert service.remembered._of == {}
    purging.cancel()


def test_large_answers_take_no_more_room_than_there_is() -> None:
    kept = Answers(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    large = Answer("", 200, b"x" * answers.MOST_BYTES_OF_ONE, ())
    for number in range(3 * answers.MOST_BYTES // answers.MOST_BYTES_OF_ONE):
        kept.keep((f"caller {number // 200}", str(number)), large)
        assert kept._weight <= answers.MOST_BYTES
    assert max(kept._weights.values()) <= answers.MOST_BYTES_EACH
    assert len(kept) > 0.9 * answers.MOST_BYTES / large.weight
    before = len(kept)
    kept.keep(("caller", "one"), Answer("", 200, large.body + b"x", ()))
    assert len(kept) == before


async def test_memory_is_bounded_and_one_caller_displaces_its_own(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await weight_of_one(service)
    monkeypatch.setattr(answers, "MOST_BYTES_EACH", 3 * one)
    monkeypatch.setattr(answers, "MOST_BYTES", 5 * one)
    await service.post(who="quiet")
    for number in range(10):
        await service.post(who="loud", key=str(number))
    assert (await service.post(who="quiet"))[1] == {"number": 2}
    assert (await service.post(who="loud", key="9"))[1] == {"number": 12}
    assert (await service.post(who="loud", key="6"))[1] == {"number": 13}
    for number in range(4):
        await service.post(who=f"new-{number}")
    assert (await service.post(who="quiet"))[1] != {"number": 2}
    assert len(service.remembered) == 5


async def test_another_instance_asks_with_the_same_ids(service: Service) -> None:
    """So that the owner of the decision recognises the command."""
    other = await start()
    await service.post()
    await other.post()
    assert service.ids == other.ids
    assert len(set(service.ids)) == 2
    await other.post('{"a":1}', key="two")
    await other.client.post("/things", headers={"X-API-Key": "acme"})
    assert other.ids[4:] == ["", ""]
    assert not set(other.ids[2:4]) & set(service.ids)
    await other.client.close()
