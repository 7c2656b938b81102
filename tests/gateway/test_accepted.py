"""What is answered to an accepted run is written without its model, as that would be."""

import pytest

from contracts.examples import example_part
from contracts.identifiers import ConfigId
from contracts.message import Message
from contracts.runs import RetryRunV1, RunQueuedV1, RunRequestedV1, RunStatus, SubmitRunV1
from services.gateway.api.runs import Accepted, RunRoutes
from tests.gateway.edges import edge_on

SUBMIT, RETRY = example_part(SubmitRunV1), example_part(RetryRunV1)


@pytest.mark.parametrize("command", [SUBMIT, RETRY], ids=["submit", "retry"])
@pytest.mark.parametrize(
    ("decided", "status"),
    [
        (example_part(RunRequestedV1), RunStatus.RUNNING),
        (example_part(RunQueuedV1), RunStatus.QUEUED),
        (None, RunStatus.PENDING),
    ],
    ids=["running", "queued", "no answer"],
)
@pytest.mark.parametrize("config_id", [ConfigId("nightly"), None], ids=["named", "not named"])
async def test_an_accepted_run_is_written_as_its_model(
    command: SubmitRunV1 | RetryRunV1,
    decided: RunRequestedV1 | RunQueuedV1 | None,
    status: RunStatus,
    config_id: ConfigId | None,
) -> None:
    def script(_: Message) -> Message | None:
        return decided

    answer = await RunRoutes(edge_on(script)).submit(command, config_id)
    model = Accepted(
        pipeline_logging_id=command.run_id,
        run_id=command.run_id,
        tenant_id=command.tenant_id,
        pipeline_id=decided.config_id if decided else config_id,
        status=status,
        retry_of=command.retry_of if isinstance(command, RetryRunV1) else None,
    )
    assert answer.body == model.model_dump_json().encode()
    assert answer.headers["Location"].endswith(f"/{command.run_id}")
