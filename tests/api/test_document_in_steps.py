"""Schemathesis goes through the running platform in steps: what one answer names, the next asks.

All five services answer, unlike in `test_document_holds.py`: keys that were just revoked, runs
that were just started, tenants that were just closed are what a caller would really meet.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import randrange
from typing import Any, TypeVar

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import get_state_machine_test
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.core.failures import FailureGroup
from schemathesis.generation.stateful.state_machine import APIStateMachine, StepInput, StepOutput
from schemathesis.specs.openapi.checks import ensure_resource_availability, use_after_free

from services.gateway.openapi import PATH
from tests.api.conforming import AS_DOCUMENTED
from tests.pipelines import ONE_STEP
from tests.stack import ADMIN_KEY, Stack, eventually

KEPT = ("{run_id}", "{backfill_id}", "{config_id}/backfills", "{config_id}/revisions")
"""What stays to be looked at when it was cancelled by DELETE, or its pipeline deleted."""
SCENARIOS, MANY_SCENARIOS = 12, 400
STEPS, MANY_STEPS = 10, 15
LEAST_FOLLOWED, MOST_FOLLOWED = 5, 25
"""How many operations are come to by what another has answered."""
SLOW = {503, 504}
EXAMPLES_TENANT = "acme_cloud"
CONFIG = "ones"


T = TypeVar("T")


def use_after_end(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """What was deleted is gone; a tenant that has left stays to be looked at, and says so."""
    path = case.operation.path
    if any(name in path for name in KEPT):
        return None
    of_tenant = path.endswith("/admin/tenants/{tenant_id}")
    if of_tenant and response.json().get("status") == "OFFBOARDED":
        return None
    found: bool | None = use_after_free(ctx, response, case)
    return found


CHECKS = [*AS_DOCUMENTED, use_after_end, ensure_resource_availability]


@dataclass(slots=True)
class Caller:
    """Who calls: a tenant with a pipeline, and the operator."""

    stack: Stack
    tenant: str = ""
    tenants: int = 0
    followed: Counter[str] = field(default_factory=Counter)
    """How often an operation was come to by what another one had answered."""
    answered: Counter[int] = field(default_factory=Counter)
    wrong: list[FailureGroup] = field(default_factory=list)

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

    def asked() -> T:
        answer = ask()
        assert status_of(answer) not in SLOW
        return answer

    try:
        return eventually(asked)
    except AssertionError:
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
            try:
                case.validate_response(
                    response, checks=CHECKS, transport_kwargs=given, recorder=self.recorder
                )
            except FailureGroup as found:
                caller.wrong.append(found)
                raise

    return Steps


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    stack = Stack(tmp_path_factory.mktemp("steps")).start()
    yield Caller(stack)
    stack.stop()


def explore(caller: Caller, scenarios: int, steps: int, first: int) -> None:
    """Each scenario is one of its own: the platform that it meets is never the same twice."""
    bounded = settings(
        max_examples=2,  # the first that Hypothesis tries is always the simplest
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    machine = machine_of(caller)
    for number in range(first, first + scenarios):
        scenario = seed(number)(get_state_machine_test(machine, settings=bounded, _min_steps=2))
        with suppress(Flaky):  # it cannot be gone through again; what was wrong is kept
            scenario()
        if caller.wrong:
            message = f"scenario {number}"
            raise AssertionError(message) from caller.wrong[0]


def test_no_step_leads_out_of_the_document(caller: Caller) -> None:
    explore(caller, SCENARIOS, STEPS, first=0)
    caller.has_gone_places(LEAST_FOLLOWED)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_step_leads_out_of_the_document_at_length(caller: Caller) -> None:
    explore(caller, MANY_SCENARIOS, MANY_STEPS, first=randrange(1_000_000))
    caller.has_gone_places(MOST_FOLLOWED)
