"""Schemathesis goes through the running platform in steps: what one answer names, the next asks.

All five services answer, unlike in `test_document_holds.py`: keys that were just revoked, runs
that were just started, tenants that were just closed are what a caller would really meet.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.generation.stateful.state_machine import APIStateMachine, StepInput, StepOutput
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ensure_resource_availability,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    use_after_free,
)

from services.gateway.openapi import PATH
from tests.pipelines import ONE_STEP
from tests.stack import ADMIN_KEY, Stack

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    use_after_free,
    ensure_resource_availability,
]
SCENARIOS, MANY_SCENARIOS = 12, 400
STEPS, MANY_STEPS = 10, 15
LEAST_FOLLOWED, MOST_FOLLOWED = 5, 25
"""How many operations are come to by what another has answered."""
SLOW, TRIES = {503, 504}, 4
EXAMPLES_TENANT = "acme_cloud"
CONFIG = "ones"


T = TypeVar("T")


@dataclass(slots=True)
class Caller:
    """Who calls: a tenant with a pipeline, and the operator."""

    stack: Stack
    tenant: str = ""
    tenants: int = 0
    followed: Counter[str] = field(default_factory=Counter)
    """How often an operation was come to by what another one had answered."""
    answered: Counter[int] = field(default_factory=Counter)

    def be_ready(self) -> None:
        """Be another tenant when the last scenario took its key away, or all of it."""
        if self.tenant and self._ask("GET", "/api/v1/tenants/quota") == 200:
            return
        self.tenant = f"steps_{self.tenants}" if self.tenants else EXAMPLES_TENANT
        self.tenants += 1
        self.stack.onboard(self.tenant)
        assert self._ask("POST", f"/api/v1/pipelines/configs/{CONFIG}", text=ONE_STEP) == 201

    def begin(self, case: Case[Any]) -> None:
        """Steps that follow from nothing are such that something may follow from them."""
        for name in ("cursor", "wait"):
            case.query.pop(name, None)
        if "config_id" in case.path_parameters:
            case.path_parameters["config_id"] = CONFIG
        content = case.operation.definition.raw.get("requestBody", {}).get("content", {})
        if "application/yaml" in content:
            case.body = ONE_STEP
        elif "application/json" in content and sum(self.answered.values()) % 2:
            case.body = content["application/json"]["example"]

    def sign(self, case: Case[Any]) -> None:
        names = {name for one in case.operation.definition.raw["security"] for name in one}
        if "TenantKey" in names:
            case.headers["X-API-Key"] = self.stack.keys[self.tenant]
            if "tenant_id" in case.path_parameters:
                case.path_parameters["tenant_id"] = self.tenant
        elif "AdminKey" in names:
            case.headers["X-Admin-Key"] = ADMIN_KEY

    def note(self, step: StepInput, output: StepOutput) -> None:
        self.answered[output.response.status_code] += 1
        if step.transition and step.is_applied:
            self.followed[step.case.operation.label] += 1

    def has_gone_places(self, operations: int) -> None:
        assert len(self.followed) >= operations, self.followed
        assert {200, 404} <= set(self.answered), self.answered

    def _ask(self, method: str, path: str, text: str | None = None) -> int:
        return in_time(
            lambda: self.stack.call(method, path, tenant=self.tenant, text=text),
            lambda answer: answer.status,
        ).status


def in_time(ask: Callable[[], T], status_of: Callable[[T], int]) -> T:
    """A platform that is slow says so, and to ask again; in the end its answer is taken."""
    for _ in range(TRIES - 1):
        answer = ask()
        if status_of(answer) not in SLOW:
            return answer
    return ask()


def machine_of(caller: Caller) -> type[APIStateMachine]:
    document = json.loads(PATH.read_text())
    document["paths"] = {
        path: found
        for path, found in document["paths"].items()
        if path.startswith("/api/") and not path.endswith("{run_id}/events")  # a stream
    }
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE], with_security_parameters=False)
    made: Any = schema.as_state_machine()

    class Steps(made):  # type: ignore[misc]
        def setup(self) -> None:
            caller.be_ready()

        def step(self, input: StepInput) -> StepOutput:  # noqa: A002  its base's name
            if not (input.transition and input.is_applied):
                caller.begin(input.case)
            caller.sign(input.case)
            output: StepOutput = super().step(input)
            caller.note(input, output)
            return output

        def call(self, case: Case[Any], **given: Any) -> Any:
            return in_time(lambda: case.call(**given), lambda answer: answer.status_code)

        def get_call_kwargs(self, _: Case[Any]) -> dict[str, Any]:
            return {"base_url": f"http://127.0.0.1:{caller.stack.port}", "timeout": 40}

        def validate_response(self, response: Any, case: Case[Any], **given: Any) -> None:
            case.validate_response(
                response, checks=CHECKS, transport_kwargs=given, recorder=self.recorder
            )

    return Steps


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    stack = Stack(tmp_path_factory.mktemp("steps")).start()
    yield Caller(stack)
    stack.stop()


def bounded(examples: int, steps: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=derandomize,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.timeout(300)
def test_no_step_leads_out_of_the_document(caller: Caller) -> None:
    machine_of(caller).run(settings=bounded(SCENARIOS, STEPS, derandomize=True))
    caller.has_gone_places(LEAST_FOLLOWED)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_step_leads_out_of_the_document_at_length(caller: Caller) -> None:
    machine_of(caller).run(settings=bounded(MANY_SCENARIOS, MANY_STEPS, derandomize=False))
    caller.has_gone_places(MOST_FOLLOWED)
