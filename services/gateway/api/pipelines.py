"""Routes for pipeline definitions. The scheduler reads and judges them."""

from collections.abc import Sequence

from aiohttp import web

from contracts.identifiers import ConfigId, TenantId
from contracts.pipelines import (
    ConfigDeletedV1,
    ConfigListV1,
    ConfigPart,
    ConfigSavedV1,
    ConfigV1,
    DeleteConfigV1,
    GetConfigV1,
    ListConfigsV1,
    SaveConfigV1,
)
from libs.web.app import answer
from libs.web.body import read_text
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import Edge, identifier, who

MAX_BYTES = 256 * 1024
PATH = "/api/v1/pipelines/configs"


class PipelineRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        one = PATH + "/{config_id}"
        return [
            web.get(PATH, self.list),
            web.get(one, self.show),
            web.post(one, self.create),
            web.put(one, self.save),
            web.delete(one, self.delete),
        ]

    async def list(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        after = request.query.get("after")
        query = ListConfigsV1(
            tenant_id=tenant, after=identifier(ConfigId, after, "/after") if after else None
        )
        found = await self._edge.questions.ask(query, ConfigListV1)
        return answer(found.model_dump(mode="json"))

    async def show(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        query = GetConfigV1(tenant_id=tenant, config_id=_config_id(request))
        found = await self._edge.questions.ask(query, ConfigV1)
        return answer(_shown(found.config), ETag=f'"{found.config.revision}"')

    async def create(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        return await self._save(request, tenant, 0, 201)

    async def save(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        return await self._save(request, tenant, _if_match(request), 200)

    async def delete(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        command = DeleteConfigV1(
            tenant_id=tenant,
            config_id=_config_id(request),
            if_revision=_if_match(request),
            requested_by=who(request, "tenant"),
        )
        await self._edge.questions.ask(command, ConfigDeletedV1)
        return web.Response(status=204)

    async def _save(
        self, request: web.Request, tenant: TenantId, if_revision: int | None, status: int
    ) -> web.Response:
        source = await read_text(request)
        if len(source.encode()) > MAX_BYTES:
            raise Problem(413, "definition_too_large", "A definition may have 256 KiB at most.")
        command = SaveConfigV1(
            tenant_id=tenant,
            config_id=_config_id(request),
            source=source,
            if_revision=if_revision,
            requested_by=who(request, "tenant"),
        )
        saved = await self._edge.questions.ask(command, ConfigSavedV1)
        body = {"config_id": saved.config_id, "revision": saved.revision}
        return answer(body, status=status, ETag=f'"{saved.revision}"')


def _config_id(request: web.Request) -> ConfigId:
    return identifier(ConfigId, request.match_info["config_id"], "/config_id")


def _if_match(request: web.Request) -> int | None:
    text = request.headers.get("If-Match")
    if text is None or text == "*":
        return None
    revision = text.strip('"')
    if not revision.isdecimal():
        detail = f'If-Match: expected a revision such as "3", found {text[:40]!r}'
        raise Problem(400, "invalid_request", detail, [Fault("/If-Match", detail)])
    return int(revision)


def _shown(config: ConfigPart) -> dict[str, object]:
    shown: dict[str, object] = config.model_dump(mode="json")
    return shown
