"""Messages about packaged definitions that only need parameters."""

from pydantic import Field, JsonValue

from contracts.credentials import Provider
from contracts.identifiers import ConfigId, TenantId
from contracts.message import Part, Query, Reply, Service
from contracts.pipelines import DefinitionPart

_NAME = r"^[a-z0-9][a-z0-9_]{0,29}$"


class TemplateRefPart(Part):
    """Which template: `provider/domain/template`."""

    provider: str = Field(pattern=_NAME)
    domain: str = Field(pattern=_NAME)
    template: str = Field(pattern=_NAME)

    def __str__(self) -> str:
        return f"{self.provider}/{self.domain}/{self.template}"

    @property
    def config_id(self) -> ConfigId:
        """What its runs are filed under, unless the tenant saves it under a name."""
        return ConfigId(f"{self.provider}-{self.domain}-{self.template}")


class CredentialWayPart(Part):
    """A kind of credential by which a template is let in."""

    to: str
    """Where: how `files` begin, or the address of an API."""
    provider: Provider
    """What it is stored as."""
    fields: tuple[str, ...]
    """Those that it cannot be without."""


class CredentialNeedPart(Part):
    """A parameter that names a stored credential."""

    parameter: str
    required: bool
    any_of: tuple[CredentialWayPart, ...]


class TemplatePart(Part):
    ref: TemplateRefPart
    version: int
    title: str
    description: str
    parameters: dict[str, JsonValue]
    """JSON Schema 2020-12 of the parameters, which are one object."""
    credentials: tuple[CredentialNeedPart, ...] = ()
    tables: tuple[str, ...] = ()
    """What it makes, in the tenant's own dataset."""
    checks: tuple[str, ...] = ()
    """The quality checks that come with it, by name; `focus_1_4` are the rules of FOCUS 1.4."""


class ListTemplatesV1(Query, type="template.list.v1", to=Service.SCHEDULER):
    tenant_id: TenantId


class TemplateListV1(Reply, type="template.page.v1"):
    tenant_id: TenantId
    templates: tuple[TemplatePart, ...]


class GetTemplateV1(Query, type="template.get.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    ref: TemplateRefPart


class TemplateV1(Reply, type="template.v1"):
    tenant_id: TenantId
    template: TemplatePart
    definition: DefinitionPart
