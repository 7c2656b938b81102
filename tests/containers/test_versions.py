"""Two versions of each service, side by side on the same topics: back and forth under a load."""

import pytest

from tests.containers.compose import Composed
from tests.containers.load import Load
from tests.containers.versions import old_tag

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]
# Consumers first, as docs/deployment.md says; and the other way round.
FORTH = ("audit_log", "executor", "scheduler", "tenant")


@pytest.fixture(scope="module")
def old() -> str:
    return old_tag()


def test_going_back_and_forth_loses_nothing(old: str, composed: Composed, load: Load) -> None:
    for tag, order in ((old, FORTH[::-1]), ("local", FORTH)):
        for service in order:
            with composed.side_by_side(service, tag):
                assert len(composed.image_ids(service)) == 2
                load.more(2)
        with load.gateway_down():
            composed.replace_gateway(tag)
        load.more(3)
    assert load.failures == []
