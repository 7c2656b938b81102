"""Schemathesis asks what the document allows and what it forbids, and reads every answer by it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, settings
from pydantic import SecretStr
from requests import Request
from schemathesis import Case
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection

from contracts.message import Service
from libs.bus.publisher import Publisher
from libs.settings import GatewaySettings
from services.gateway.app import in_front
from services.gateway.cors import Cors
from services.gateway.limits import Limits
from services.gateway.openapi import PATH
from services.gateway.trail import Trail
from tests.api.conforming import AS_DOCUMENTED
from tests.api.threads import ExampleRequester, in_a_thread
from tests.gateway.door import Recorder
from tests.gateway.edges import ADMIN_KEY, KEY, edge_on, once_for

DOCUMENT: dict[str, Any] = json.loads(PATH.read_text())
KEYS = {"TenantKey": {"X-API-Key": KEY.text}, "AdminKey": {"X-Admin-Key": ADMIN_KEY}}
CHECKS = [*AS_DOCUMENTED, negative_data_rejection, ignored_auth]
EXAMPLES, MANY_EXAMPLES = 10, 75
LONGEST_LINE = 8000
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT).exclude(
    path_regex=r"\{run_id\}/events$"  # a stream that ends with its run; tests/gateway has its suite
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """With all that stands in front of the endpoints; nobody is turned away for asking often."""
    unlimited = GatewaySettings(
        admin_api_key=SecretStr(ADMIN_KEY), rate_limit_address=0, rate_limit_tenant=0
    )
    limits = Limits(unlimited)
    edge = edge_on(settings=unlimited, requester=ExampleRequester(), limits=limits)
    trail = Trail(Publisher(Service.GATEWAY, Recorder()), edge.auth.remembered)
    chain = in_front(Cors(()), limits, trail, once_for(edge.auth))
    with in_a_thread(edge, chain) as found:
        yield found


def keys_of(case: Case[Any]) -> dict[str, str]:
    """The headers with which the document says that an operation opens."""
    security = case.operation.definition.raw["security"]
    name = next((name for option in security for name in option), "")
    return KEYS.get(name, {})


def ask(case: Case[Any], url: str) -> None:
    # A line of more than 8 KiB is refused before any application sees it, in aiohttp's own words.
    asked = Request(**case.as_transport_kwargs(base_url=url)).prepare()
    assume(len(asked.url or "") < LONGEST_LINE)
    # Blanks around a header's value are not part of it, says HTTP.
    assume(all(value == value.strip() for value in map(str, (case.headers or {}).values())))
    case.call_and_validate(base_url=url, headers=keys_of(case), checks=CHECKS, timeout=60)


def bounded(examples: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=derandomize,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@SCHEMA.parametrize()
@bounded(EXAMPLES, derandomize=True)
def test_every_answer_is_documented(case: Case[Any], url: str) -> None:
    ask(case, url)


@pytest.mark.soak
@SCHEMA.parametrize()
@bounded(MANY_EXAMPLES, derandomize=False)
def test_every_answer_is_documented_at_length(case: Case[Any], url: str) -> None:
    ask(case, url)
