"""Endpoints for pipeline definitions. The scheduler reads and judges them."""

import re
from collections.abc import Sequence

from aiohttp import web
from pydantic import Field

from contracts.identifiers import ConfigId, Identifier
from contracts.message import Part
from contracts.pipelines import (
    CheckDefinitionV1,
    ConfigDeletedV1,
    ConfigListV1,
    ConfigPart,
    ConfigSavedV1,
    ConfigV1,
    DefinitionCheckedV1,
    DefinitionPart,
    DeleteConfigV1,
    GetConfigV1,
    ListConfigsV1,
    ListRevisionsV1,
    RevisionListV1,
    RevisionPart,
    SaveConfigV1,
)
from contracts.platform import ProblemPart
from libs.web.problem import Problem
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Answer, Call, Text, Who, endpoint
from services.gateway.api.pages import LISTING, LIVE, LIVE_PAGE, Item, PageQuery
from services.gateway.api.serving import identifier

PATH = "/api/v1/pipelines/configs"
ONE = PATH + "/{config_id}"
SAVING = ("invalid_definition", "revision_conflict", "too_many_configs", "tenant_not_found")


class Revision(Identifier):
    """Of a pipeline, as a part of a path; what ETag and If-Match hold."""

    pattern = re.compile(r"[0-9]{1,9}")
    rule = 'expected a revision such as "3"'


class Definition(Text):
    """A pipeline, in YAML or JSON, in either of its two shapes."""

    too_large = "definition_too_large"
    example = """\
pipeline_id: cost_by_service
steps:
  - id: by_service
    ps_type: bq_etl.query
    config:
      source_query: SELECT service, SUM(cost) AS cost FROM ${tenant_id}.billing GROUP BY service
      target_table: ${tenant_id}.cost_by_service
"""


class ConfigsShown(Part):
    configs: tuple[ConfigPart, ...]
    next_cursor: str | None = None


class Saved(Part):
    config_id: ConfigId
    revision: int = Field(ge=1)


class RevisionsShown(Part):
    config_id: ConfigId
    revisions: tuple[RevisionPart, ...]


class Checked(Part):
    valid: bool
    problems: tuple[ProblemPart, ...] = ()
    definition: DefinitionPart | None = None
    """The one model behind both shapes, when nothing is wrong."""


class PipelineRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint("GET", PATH, Who.TENANT, answers=ConfigsShown, **LISTING)
    async def list(self, call: Call, query: PageQuery) -> web.StreamResponse:
        """List pipelines, in the order of their names."""

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListConfigsV1(
                tenant_id=call.tenant,
                after=ConfigId(after) if after else None,
                limit=min(limit, LIVE_PAGE),
            )
            found = await self._edge.questions.ask(wanted, ConfigListV1)
            return [one.model_dump(mode="json") for one in found.configs], found.next_after or ""

        return await self._edge.pages.respond(
            call.request, call.tenant, "configs", query, fetch, source=LIVE
        )

    @endpoint("GET", ONE, Who.TENANT, errors=("config_not_found",), sends=("ETag",))
    async def show(self, call: Call, config_id: ConfigId) -> Answer[ConfigPart]:
        """Show a pipeline; its ETag is its revision."""
        query = GetConfigV1(tenant_id=call.tenant, config_id=config_id)
        found = await self._edge.questions.ask(query, ConfigV1)
        return Answer(found.config, _etag(found.config.revision))

    @endpoint("GET", ONE + "/revisions", Who.TENANT, errors=("config_not_found",))
    async def revisions(self, call: Call, config_id: ConfigId) -> RevisionsShown:
        """List a pipeline's revisions, the newest first; also when it was deleted."""
        query = ListRevisionsV1(tenant_id=call.tenant, config_id=config_id)
        found = await self._edge.questions.ask(query, RevisionListV1)
        return RevisionsShown(config_id=config_id, revisions=found.revisions)

    @endpoint("GET", ONE + "/revisions/{revision}", Who.TENANT, errors=("config_not_found",))
    async def revision(self, call: Call, config_id: ConfigId, revision: Revision) -> ConfigPart:
        """Show one revision as it was saved."""
        query = GetConfigV1(tenant_id=call.tenant, config_id=config_id, revision=int(revision))
        return (await self._edge.questions.ask(query, ConfigV1)).config

    @endpoint("POST", "/api/v1/pipelines/validate", Who.TENANT)
    async def validate(self, call: Call, body: Definition) -> Checked:
        """Say everything that is wrong with a definition; nothing is saved."""
        query = CheckDefinitionV1(tenant_id=call.tenant, source=body)
        found = await self._edge.questions.ask(query, DefinitionCheckedV1)
        return Checked(
            valid=not found.problems, problems=found.problems, definition=found.definition
        )

    @endpoint("POST", ONE, Who.TENANT, status=201, errors=SAVING, sends=("ETag",))
    async def create(self, call: Call, config_id: ConfigId, body: Definition) -> Answer[Saved]:
        """Save the first revision of a pipeline, if there is none."""
        return await self._save(call, config_id, body, 0)

    @endpoint(
        "PUT",
        ONE,
        Who.TENANT,
        errors=(*SAVING, "if_match_required"),
        reads=("If-Match",),
        sends=("ETag",),
    )
    async def save(self, call: Call, config_id: ConfigId, body: Definition) -> Answer[Saved]:
        """Save a revision; If-Match says over which one, when there is one."""
        if "If-Match" in call.request.headers:
            return await self._save(call, config_id, body, _if_match(call))
        try:
            return await self._save(call, config_id, body, 0)
        except Problem as problem:
            if problem.code == "revision_conflict":
                raise _needs_if_match("replace") from None
            raise

    @endpoint(
        "DELETE",
        ONE,
        Who.TENANT,
        status=204,
        errors=("config_not_found", "revision_conflict", "if_match_required"),
        reads=("If-Match",),
    )
    async def delete(self, call: Call, config_id: ConfigId) -> None:
        """Delete the revision that If-Match names; runs that have begun keep theirs."""
        if "If-Match" not in call.request.headers:
            raise _needs_if_match("delete")
        command = DeleteConfigV1(
            tenant_id=call.tenant,
            config_id=config_id,
            if_revision=_if_match(call),
            requested_by=call.who(),
        )
        await self._edge.questions.ask(command, ConfigDeletedV1)

    async def _save(
        self, call: Call, config_id: ConfigId, source: str, if_revision: int | None
    ) -> Answer[Saved]:
        command = SaveConfigV1(
            tenant_id=call.tenant,
            config_id=config_id,
            source=source,
            if_revision=if_revision,
            requested_by=call.who(),
        )
        saved = await self._edge.questions.ask(command, ConfigSavedV1)
        body = Saved(config_id=saved.config_id, revision=saved.revision)
        return Answer(body, _etag(saved.revision))


def _etag(revision: int) -> dict[str, str]:
    return {"ETag": f'"{revision}"'}


def _if_match(call: Call) -> int | None:
    text = call.request.headers.get("If-Match")
    if text is None or text == "*":
        return None
    quoted = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    return int(identifier(Revision, "/If-Match", quoted))


def _needs_if_match(change: str) -> Problem:
    detail = (
        "If-Match: expected the ETag of the revision that you have read, "
        f"or * to {change} whatever is there."
    )
    return Problem(428, "if_match_required", detail)
