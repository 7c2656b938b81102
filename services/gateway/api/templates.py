"""Endpoints for packaged definitions: the catalogue, and runs of them."""

from typing import Any

from pydantic import ValidationError

from contracts.identifiers import TenantId
from contracts.message import Part
from contracts.pipelines import DefinitionPart
from contracts.templates import (
    CredentialNeedPart,
    GetTemplateV1,
    ListTemplatesV1,
    TemplateListV1,
    TemplatePart,
    TemplateRefPart,
    TemplateV1,
)
from libs.web.problem import Problem
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Answer, Call, Who, endpoint
from services.gateway.api.runs import STARTING, Accepted, RunBody, RunRoutes

TEMPLATES = "/api/v1/templates"
REF = "/{provider}/{domain}/{template}"


class TemplateShown(Part):
    template_id: str
    """`provider/domain/template`, as a pipeline names it."""
    provider: str
    domain: str
    template: str
    version: int
    title: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema 2020-12 of the parameters."""
    credentials: tuple[CredentialNeedPart, ...] = ()
    """The parameters that name a stored credential, and which kinds let the template in."""
    tables: tuple[str, ...] = ()
    """What it makes, in your own dataset, unless parameters say others."""
    checks: tuple[str, ...] = ()
    """The quality checks that come with it; `focus_1_4` are the rules of FOCUS 1.4."""


class TemplatesShown(Part):
    templates: tuple[TemplateShown, ...]


class TemplateInFull(TemplateShown):
    definition: DefinitionPart


class TemplateRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._runs = RunRoutes(edge)

    @endpoint("GET", TEMPLATES, Who.TENANT)
    async def list(self, call: Call) -> TemplatesShown:
        """List what is ready to run once it has its parameters."""
        wanted = ListTemplatesV1(tenant_id=call.tenant)
        found = await self._edge.questions.ask(wanted, TemplateListV1)
        return TemplatesShown(templates=tuple(TemplateShown(**_of(t)) for t in found.templates))

    @endpoint("GET", TEMPLATES + REF, Who.TENANT, errors=("template_not_found",))
    async def show(self, call: Call, provider: str, domain: str, template: str) -> TemplateInFull:
        """Show a template with its definition."""
        query = GetTemplateV1(tenant_id=call.tenant, ref=_ref(provider, domain, template))
        found = await self._edge.questions.ask(query, TemplateV1)
        return TemplateInFull(**_of(found.template), definition=found.definition)

    @endpoint(
        "POST",
        "/api/v1/pipelines/run/{tenant_id}" + REF,
        Who.TENANT,
        status=202,
        errors=(*STARTING, "template_not_found", "invalid_parameters"),
        sends=("Location",),
        example={"date": "2026-03-14", "parameters": {"minimum_cost": 0.5}},
    )
    async def start(  # noqa: PLR0913, PLR0917  the parts of the path
        self,
        call: Call,
        tenant_id: TenantId,
        provider: str,
        domain: str,
        template: str,
        body: RunBody,
    ) -> Answer[Accepted]:
        """Run a template with parameters."""
        if tenant_id != call.tenant:
            raise Problem(404, "tenant_not_found", "This key is of no tenant of that name.")
        ref = _ref(provider, domain, template)
        command = self._runs.command(call, ref.config_id, body, ref)
        return await self._runs.submit(command, ref.config_id)


def _ref(provider: str, domain: str, template: str) -> TemplateRefPart:
    named = [provider.lower(), domain.lower(), template.lower()]
    try:
        return TemplateRefPart(provider=named[0], domain=named[1], template=named[2])
    except ValidationError:
        detail = f"There is no template {'/'.join(named)[:200]}."
        raise Problem(404, "template_not_found", detail) from None


def _of(template: TemplatePart) -> dict[str, Any]:
    about = template.model_dump(exclude={"ref"})
    return {"template_id": str(template.ref), **template.ref.model_dump(), **about}
