"""Secrets put through every flow appear nowhere: not in a log, a message, a row, a trace."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import quote

import pytest

from contracts.message import Service
from tests.stack import Stack, eventually
from tests.tenancy.ears import Ears
from tests.tenancy.flows import PLANTED, Flows
from tests.tenancy.places import PROJECT, Place, found_in, places
from tests.tenancy.providers import ProviderStandIn
from tests.tenancy.traces import TraceSink

IN_ORDER = {
    "call.answered.v1",
    "credential.deleted.v1",
    "credential.keep_rewrapped.v1",
    "credential.store.v1",
    "credential.stored.v1",
    "credential.tested.v1",
    "credential.v1",
    "key.rotated.v1",
    "step.completed.v1",
    "webhook.delivered.v1",
    "webhook.rotated.v1",
}
PLACES = ("answers", "logs", "messages", "dead letters", "rows", "objects", "traces", "files")
HIDDEN = 's3"cret/of+the~tests'


@pytest.fixture(scope="module")
def ears(stack: Stack) -> Iterator[Ears]:
    with Ears(PROJECT, f"127.0.0.1:{stack.ports()['pubsub']['grpc']}") as found:
        yield found


@pytest.fixture(scope="module")
def flows(stack: Stack, ears: Ears, providers: ProviderStandIn) -> Flows:
    """Everything has been through; what carried sealed secrets has become dead letters too."""
    found = Flows(stack, providers.url)
    found.run()
    for type_ in ("credential.store.v1", "credential.keep_rewrapped.v1"):
        one = eventually(partial(ears.first, type_))
        moved = {**one.attributes, "ce-tenantid": "somebody_else", "ce-id": f"{PLANTED}-{type_}"}
        ears.publish(Service(moved["ce-source"]), moved, one.data)

    def all_is_heard() -> None:
        assert len(ears.dead) >= 2
        assert ears.types() >= IN_ORDER

    eventually(all_is_heard)
    return found


@pytest.fixture(scope="module")
def everywhere(flows: Flows, stack: Stack, ears: Ears, traces: TraceSink) -> dict[str, Place]:
    found = places(flows, stack, ears, traces)
    assert tuple(found) == PLACES
    return found


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_secret_is_found(everywhere: dict[str, Place], place: str) -> None:
    """So a secret would be, and everything that was said has come to where it is looked for."""

    def it_is_there() -> None:
        assert found_in(everywhere[place](), [PLANTED]) == [PLANTED]

    eventually(it_is_there)


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_found(flows: Flows, everywhere: dict[str, Place], place: str) -> None:
    assert len(set(flows.secrets)) > 30
    assert found_in(everywhere[place](), flows.secrets) == []


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in JSON": lambda secret: json.dumps({"a": secret}),
    "in JSON in JSON": lambda secret: json.dumps(json.dumps({"a": secret})),
    "in a URL": lambda secret: quote(secret, safe=""),
    "base64 alone": lambda secret: b64encode(secret.encode()).decode(),
    "base64 after one": lambda secret: b64encode(f"a{secret}".encode()).decode(),
    "base64 after two": lambda secret: b64encode(f"ab{secret}:b".encode()).decode(),
    "base64 for URLs": lambda secret: urlsafe_b64encode(f"abc{secret}b".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(form: str) -> None:
    assert found_in(f"before{FORMS[form](HIDDEN)}after", [HIDDEN]) == [HIDDEN]
    assert found_in(f"before{FORMS[form]('another-secret')}after", [HIDDEN]) == []
