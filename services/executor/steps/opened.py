"""The fields of a credential that a step's config names."""

from collections.abc import Mapping

from contracts.identifiers import CredentialId, InvalidIdentifierError
from services.executor.steps.step import StepError, StepRun
from services.executor.steps.tools import Tools
from services.executor.steps.variables import fill_name


async def fields_of(tools: Tools, given: StepRun, named: str) -> Mapping[str, str]:
    """None for no name. Raises `StepError`."""
    name = fill_name(named, given.request)
    if not name:
        return {}
    try:
        credential_id = CredentialId(name)
    except InvalidIdentifierError as error:
        raise StepError("invalid_config", f"credential: {error}") from None
    return (await tools.credentials.open(given.request.tenant_id, credential_id)).fields
