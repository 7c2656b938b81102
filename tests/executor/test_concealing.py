"""What a source says of a credential is quoted without the credential."""

from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest

from contracts.steps import StepCompletedV1
from services.executor.concealing import conceal, concealing, without_secrets
from services.executor.ingest.asking import SourceRefusedError
from services.executor.steps.step import StepError, StepResult, StepRun
from tests.executor.acting import Acting, Stage
from tests.executor.stage import requested, step

SECRET = 's3cr+t/of"the~tests'  # noqa: S105  of these tests alone
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in JSON": lambda secret: secret.replace('"', '\\"'),
    "in a URL": lambda secret: quote(secret, safe=""),
    "as a password of Basic": lambda secret: b64encode(f"acme:{secret}".encode()).decode(),
    "as a name of Basic": lambda secret: b64encode(f"{secret}:x".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_concealed_in_every_form(form: str) -> None:
    said = FORMS[form](SECRET)
    with concealing():
        assert said in without_secrets(f"you sent {said}!")
        conceal({"password": SECRET, "region": "eu-central-1", "short": "on"})
        found = without_secrets(f"you sent {said} on to eu-central-1")
        assert said not in found
        assert found.startswith("you sent ")
        assert found.endswith(" on to eu-central-1")
    assert said in without_secrets(f"you sent {said}!")


def test_a_secret_that_would_be_cut_off_is_concealed_first() -> None:
    with concealing():
        conceal({"api_key": SECRET})
        assert SECRET[:8] not in str(SourceRefusedError("host", 401, "x" * 290 + SECRET))


def test_every_line_of_a_private_key_is_concealed() -> None:
    with concealing():
        conceal({"private_key": "-----BEGIN KEY-----\nAAAABBBBCCCC\nDDDDEEEEFFFF\n"})
        assert "DDDDEEEE" not in without_secrets("it has DDDDEEEEFFFF in it")


async def test_what_one_step_opened_is_concealed_in_that_step_alone() -> None:
    async def act(given: StepRun) -> StepResult:
        if given.step.step_id == "opens":
            conceal({"api_key": SECRET})
        raise StepError("source_refused", str(SourceRefusedError("host", 401, SECRET)))

    stage = Stage(Acting(act))
    await stage.run(requested(step("act", id="opens"), step("act", id="does_not")))
    errors = {str(said.step_id): str(said.error) for said in stage.sent.all(StepCompletedV1)}
    assert SECRET not in errors["opens"]
    assert SECRET in errors["does_not"]
