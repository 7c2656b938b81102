"""`notify.webhook`: signed, told once under one id, refused and retried by class."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from aiohttp import web

from contracts.identifiers import StepId
from contracts.notifications import WebhookDeliveredV1
from contracts.runs import RunStatus
from libs.outgoing.client import Outgoing, OutgoingRules
from libs.outgoing.webhooks import signed_headers
from services.executor.steps.notify_webhook import NotifyWebhook
from services.executor.steps.step import (
    Credential,
    StepError,
    StepResult,
    StepRetryError,
    StepRun,
)
from services.executor.steps.tools import Tools
from tests.executor.acting import Stage
from tests.executor.stage import Heard, NoCredentials, given, requested, step

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  published in the specification


@dataclass(slots=True)
class Receiver:
    url: str = ""
    status: int = 204
    first_answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        found.got.append((headers, await request.read()))
        first = found.first_answers
        return web.Response(status=first.pop(0) if first else found.status)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield found
    await runner.cleanup()


@pytest.fixture
def signing(tools: Tools) -> Tools:
    credentials = NoCredentials({"hook": Credential("GENERIC", {"secret": SECRET})})
    return replace(tools, credentials=credentials)


def told(receiver: Receiver, heard: Heard) -> StepRun:
    config = {
        "url": receiver.url,
        "credential": "hook",
        "event": "cost.loaded",
        "data": {"title": "costs of ${date}", "rows": 3},
    }
    run = given(step("notify.webhook", config), heard)
    return replace(run, earlier={StepId("load"): StepResult(7, 9, (), "COMPLETED")})


async def test_what_is_sent_is_signed_and_says_what_the_run_did(
    signing: Tools, receiver: Receiver
) -> None:
    heard = Heard()
    run = told(receiver, heard)
    await NotifyWebhook(signing).run(run)
    ((headers, body),) = receiver.got
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    expected = signed_headers(headers["webhook-id"], at, body, [SECRET])
    assert headers["webhook-signature"] == expected["webhook-signature"]
    assert headers["user-agent"] == expected["user-agent"]
    data = json.loads(body)["data"]
    assert data["title"] == "costs of 2026-01-31"
    assert data["steps"] == {"load": {"status": "COMPLETED", "rows": 7, "bytes": 9}}
    logged = heard.said["webhook/1"]
    assert isinstance(logged, WebhookDeliveredV1)
    assert (logged.delivered, logged.http_status, logged.host) == (True, 204, "127.0.0.1")


async def test_a_second_try_says_the_same_under_the_same_id(
    signing: Tools, receiver: Receiver
) -> None:
    run = told(receiver, Heard())
    await NotifyWebhook(signing).run(run)
    await NotifyWebhook(signing).run(replace(run, try_number=2))
    (first, body), (second, again) = receiver.got
    assert (first["webhook-id"], body) == (second["webhook-id"], again)


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, StepRetryError), (429, StepRetryError), (404, StepError), (302, StepError)],
)
async def test_an_answer_decides_whether_to_try_again(
    signing: Tools, receiver: Receiver, status: int, error: type[StepError]
) -> None:
    receiver.status, heard = status, Heard()
    with pytest.raises(StepError) as caught:
        await NotifyWebhook(signing).run(told(receiver, heard))
    assert type(caught.value) is error
    logged = heard.said["webhook/1"]
    assert isinstance(logged, WebhookDeliveredV1)
    assert (logged.delivered, logged.http_status) == (False, status)


async def test_a_dead_address_is_tried_again(signing: Tools, receiver: Receiver) -> None:
    receiver.url = "http://127.0.0.1:9/hook?token=SECRET"
    heard = Heard()
    with pytest.raises(StepRetryError) as caught:
        await NotifyWebhook(signing).run(told(receiver, heard))
    assert "SECRET" not in str(caught.value) + str(heard.said)


async def test_production_sends_nothing_inside(signing: Tools, receiver: Receiver) -> None:
    strict = replace(signing, outgoing=Outgoing(OutgoingRules()))
    with pytest.raises(StepError) as caught:
        await NotifyWebhook(strict).run(told(receiver, Heard()))
    assert caught.value.code == "webhook_refused"
    assert not receiver.got


async def test_a_missing_credential_is_named(tools: Tools, receiver: Receiver) -> None:
    with pytest.raises(StepError, match="there is no credential hook"):
        await NotifyWebhook(tools).run(told(receiver, Heard()))


async def test_a_steps_tries_send_the_same_under_the_same_id_and_log_each(
    signing: Tools, receiver: Receiver
) -> None:
    receiver.first_answers = [503, 429]
    stage = Stage(types={"notify.webhook": NotifyWebhook(signing)})
    config = {"url": receiver.url, "credential": "hook"}
    await stage.attempt(requested(step("notify.webhook", config))).run()
    assert stage.sent.end.status is RunStatus.COMPLETED
    assert len({(headers["webhook-id"], body) for headers, body in receiver.got}) == 1
    log = [(one.try_number, one.http_status) for one in stage.sent.all(WebhookDeliveredV1)]
    assert log == [(1, 503), (2, 429), (3, 204)]
    assert len(set(stage.sent.ids)) == len(stage.sent.ids)
