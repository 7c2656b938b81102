"""A check is a function that asks a gateway something and raises when the answer is wrong."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from deploy.suites.client import Answer, Client

LOCAL, STAGING, PRODUCTION = "local", "staging", "production"
SUITES = (LOCAL, STAGING, PRODUCTION)
CHANGING = (LOCAL, STAGING)
"""Suites that may make tenants and runs; production's only look."""


class CheckError(AssertionError):
    """What was asked, what was expected, what came."""


class SkippedError(Exception):
    """Why a check says nothing here."""


@dataclass(slots=True)
class World:
    """What checks share: the gateway, and tenants made for this run of the suite."""

    client: Client
    origin: str = ""
    slack: float = 1.0
    """By how much what is promised of time is stretched: a machine may have other work."""
    mark: str = field(default_factory=lambda: uuid4().hex[:8])
    _tenants: list[str] = field(default_factory=list)

    def tenant(self, number: int = 0) -> str:
        """A tenant of this run; onboarded at first use."""
        while len(self._tenants) <= number:
            self._tenants.append(self._onboard(f"suite_{self.mark}_{len(self._tenants)}"))
        return self._tenants[number]

    def _onboard(self, name: str) -> str:
        body = {
            "tenant_id": name,
            "company_name": "Suite",
            "admin_email": "suite@example.com",
            "subscription_plan": "STARTER",
        }
        made = self.client.call("POST", "/api/v1/tenants/onboard", body, admin=True)
        expect(made, 201, "POST /api/v1/tenants/onboard")
        self.client.keys[name] = made.body["api_key"]
        return name

    def offers(self, path: str) -> bool:
        """Whether the gateway's own document lists a path."""
        found = self.client.get("/openapi.json")
        return isinstance(found.body, dict) and path in found.body.get("paths", {})


Work = Callable[[World], None]


@dataclass(frozen=True, slots=True)
class Check:
    group: str
    name: str
    suites: tuple[str, ...]
    work: Work


@dataclass(frozen=True, slots=True)
class Result:
    check: Check
    outcome: str
    """passed, failed or skipped."""
    seconds: float
    detail: str = ""


CHECKS: list[Check] = []


def check(group: str, suites: tuple[str, ...] = SUITES) -> Callable[[Work], Work]:
    """Register a check; its name is its function's."""

    def register(work: Work) -> Work:
        CHECKS.append(Check(group, work.__name__.replace("_", " "), suites, work))
        return work

    return register


def run(suite: str, world: World) -> Iterator[Result]:
    for one in CHECKS:
        if suite in one.suites:
            yield _run_one(one, world)


def _run_one(one: Check, world: World) -> Result:
    began = time.perf_counter()
    outcome, detail = "passed", ""
    try:
        one.work(world)
    except SkippedError as reason:
        outcome, detail = "skipped", str(reason)
    except Exception as error:  # noqa: BLE001  whatever goes wrong, this check has failed
        outcome, detail = "failed", f"{type(error).__name__}: {error}"
    return Result(one, outcome, time.perf_counter() - began, detail)


def expect(answer: Answer, status: int | tuple[int, ...], asked: str) -> Answer:
    """The answer, if it has that status."""
    wanted = (status,) if isinstance(status, int) else status
    if answer.status not in wanted:
        text = f"{asked}: expected {' or '.join(map(str, wanted))}, got {answer.status}"
        raise CheckError(f"{text}: {str(answer.body)[:300]}")
    return answer


def demand(holds: object, what: str) -> None:
    if not holds:
        raise CheckError(what)


def problem(answer: Answer, status: int, asked: str) -> Answer:
    """A refusal as a problem document that says what and where."""
    expect(answer, status, asked)
    kind = answer.header("Content-Type")
    demand(kind.startswith("application/problem+json"), f"{asked}: an error of type {kind!r}")
    for name in ("code", "detail", "status", "trace_id"):
        demand(answer.body.get(name), f"{asked}: the problem has no {name}")
    return answer
