"""`notify.webhook`: tells an address of the tenant what the run has done so far."""

import re
import time
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from contracts.identifiers import CredentialId
from contracts.notifications import WebhookDeliveredV1
from libs.outgoing.client import Answered, Call
from libs.outgoing.errors import OutgoingError, UnreachableError
from libs.outgoing.webhooks import BadSecretError, signed_headers
from services.executor.steps.step import (
    StepError,
    StepPlan,
    StepResult,
    StepRetryError,
    StepRun,
    StepType,
)
from services.executor.steps.tools import Tools
from services.executor.steps.variables import fill_text

PASSING = frozenset({408, 425, 429})
SERVER_FAULT = 500
PATIENCE_SECONDS = 15.0
MOST_ANSWER_BYTES = 64 << 10
_SECRET_FIELDS = re.compile(r"secret|previous_secret|signing_secret")


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(min_length=8, max_length=2000)
    credential: CredentialId | None = None
    """A stored GENERIC credential whose field `secret` signs what is sent."""
    event: str = Field(default="pipeline.notified", pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")
    data: dict[str, JsonValue] = Field(default_factory=dict, max_length=50)


class NotifyWebhook(StepType):
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self, given: StepRun) -> StepResult:
        config = given.config(Config)
        body = _body(given, config)
        webhook_id = _webhook_id(given)
        try:
            headers = signed_headers(
                webhook_id, self._tools.clock(), body, await self._secrets(given, config)
            )
        except BadSecretError as error:
            raise StepError("credential_unreadable", str(error)) from None
        call = Call(
            "POST",
            config.url,
            headers,
            body,
            total_seconds=PATIENCE_SECONDS,
            max_bytes=MOST_ANSWER_BYTES,
        )
        await self._deliver(given, call, webhook_id)
        return StepResult(rows=1)

    async def plan(self, given: StepRun) -> StepPlan:
        config = given.config(Config)
        host = Call("POST", config.url).host
        signed = "signed" if config.credential else "not signed, for want of a credential"
        return StepPlan(note=f"one POST to {host}, {len(_body(given, config))} bytes, {signed}")

    async def _secrets(self, given: StepRun, config: Config) -> list[str]:
        if config.credential is None:
            return []
        found = await self._tools.credentials.open(given.request.tenant_id, config.credential)
        secrets = [v for name, v in found.fields.items() if _SECRET_FIELDS.fullmatch(name)]
        if not secrets:
            detail = f"credential {config.credential} has no field `secret` to sign with"
            raise StepError("credential_unreadable", detail)
        return secrets

    async def _deliver(self, given: StepRun, call: Call, webhook_id: str) -> None:
        """One try; a step's own retries make the others, under the same webhook id."""
        started, answer, failure = time.monotonic(), None, ""
        try:
            answer = await self._tools.outgoing.send(call)
        except UnreachableError as error:
            failure = str(error)
            raise StepRetryError("webhook_unreachable", failure) from None
        except OutgoingError as error:
            failure = str(error)
            raise StepError("webhook_refused", failure) from None
        finally:
            self._log(given, call.host, webhook_id, answer, failure, started)
        _judge(answer, call.host)

    def _log(  # noqa: PLR0913, PLR0917  all that the log says
        self,
        given: StepRun,
        host: str,
        webhook_id: str,
        answer: Answered | None,
        failure: str,
        started: float,
    ) -> None:
        status = answer.status if answer else 0
        event = WebhookDeliveredV1(
            tenant_id=given.request.tenant_id,
            run_id=given.request.run_id,
            attempt=given.request.attempt,
            step_id=given.step.step_id,
            webhook_id=webhook_id,
            host=host,
            try_number=given.try_number,
            delivered=_is_good(status),
            http_status=status,
            duration_ms=int((time.monotonic() - started) * 1000),
            detail=failure,
            sent_at=self._tools.clock(),
        )
        given.tell.say(f"webhook/{given.try_number}", event)


def _is_good(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004  HTTP


def _judge(answer: Answered, host: str) -> None:
    if _is_good(answer.status):
        return
    detail = f"{host} answered {answer.status}; a webhook is taken by any answer from 200 to 299"
    if answer.status in PASSING or answer.status >= SERVER_FAULT:
        raise StepRetryError("webhook_failed", detail)
    raise StepError("webhook_failed", detail)


def _webhook_id(given: StepRun) -> str:
    request = given.request
    return f"msg_{request.run_id}_{request.generation}_{given.step.step_id}"


def _body(given: StepRun, config: Config) -> bytes:
    request = given.request
    data: dict[str, Any] = {
        "tenant_id": request.tenant_id,
        "run_id": request.run_id,
        "pipeline_id": request.config_id,
        "date": request.run_date.isoformat(),
        "steps": {
            str(name): {"status": done.status, "rows": done.rows, "bytes": done.bytes}
            for name, done in given.earlier.items()
        },
        **{name: _filled(value, given) for name, value in config.data.items()},
    }
    # The time of submission, so that each try sends the same bytes under the same id.
    body = {"type": config.event, "timestamp": request.submitted_at.isoformat(), "data": data}
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _filled(value: JsonValue, given: StepRun) -> JsonValue:
    return fill_text(value, given.request) if isinstance(value, str) else value
