"""Whether parameters fit the template that a saved definition uses."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from contracts.identifiers import ConfigId, TenantId
from contracts.platform import CommandRefusedV1
from services.scheduler.definitions.nodes import shown
from services.scheduler.definitions.reading import Reader
from services.scheduler.ledgers import Ledgers
from services.scheduler.templates.library import Library, ParameterError

MOST_BYTES = 8 * 1024


class ParameterCheck:
    def __init__(self, ledgers: Ledgers, templates: Library) -> None:
        self._ledgers = ledgers
        self._reader = Reader(templates)

    async def refusal(
        self, tenant: TenantId, config_id: ConfigId, given: Mapping[str, JsonValue]
    ) -> CommandRefusedV1 | None:
        """None when they fit, or the definition uses no template: it takes any."""
        if wrong := too_large(tenant, given):
            return wrong
        config = (await self._ledgers.state(tenant)).configs.get(config_id)
        template = self._reader.template_of(config.source) if config and given else None
        if config is None or template is None:
            return None
        try:
            template.fill({**config.definition.parameters, **given})
        except ParameterError as error:
            return wrong_parameters(tenant, error)
        return None


def too_large(tenant: TenantId, given: Mapping[str, JsonValue]) -> CommandRefusedV1 | None:
    """They are kept with every run, for as long as it can be repeated."""
    size = len(json.dumps(given, ensure_ascii=False).encode())
    if size <= MOST_BYTES:
        return None
    detail = f"parameters: {size:,} bytes as JSON, expected at most {MOST_BYTES:,}"
    return CommandRefusedV1(tenant_id=tenant, code="invalid_parameters", detail=detail)


def wrong_parameters(tenant: TenantId, error: ParameterError) -> CommandRefusedV1:
    return CommandRefusedV1(
        tenant_id=tenant,
        code="invalid_parameters",
        detail=str(error),
        problems=shown(error.problems),
    )
