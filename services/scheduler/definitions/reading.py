"""Any definition that a tenant may save: either shape, or a template with parameters.

template: gcp/cost/billing_by_service
parameters: {minimum_cost: 0.5}
"""

import yaml
from pydantic import ValidationError

from contracts.identifiers import ConfigId
from contracts.pipelines import DefinitionPart
from contracts.templates import TemplateRefPart
from services.scheduler.definitions.nodes import (
    DefinitionError,
    at,
    compose,
    error,
    key_at,
    plain,
    problem,
)
from services.scheduler.definitions.shapes import read_definition
from services.scheduler.templates.library import Library, ParameterError, Template

_FIELDS = {"template", "parameters", "name", "description", "pipeline_id"}


class Reader:
    """Reads definitions, knowing the templates."""

    def __init__(self, templates: Library) -> None:
        self._templates = templates

    def read(self, source: str, config_id: ConfigId) -> DefinitionPart:
        """Raises `DefinitionError` with everything that is wrong."""
        node = compose(source)
        if isinstance(node, yaml.MappingNode) and _uses_template(node):
            return self._use(node, config_id)
        return read_definition(node, config_id)

    def template_of(self, source: str) -> Template | None:
        """What a saved definition uses; None also when it is not there any more."""
        if "template" not in source:
            return None
        node = compose(source)
        if not isinstance(node, yaml.MappingNode) or not _uses_template(node):
            return None
        return self._templates.find(_ref(plain(node)["template"], node))

    def _use(self, node: yaml.MappingNode, config_id: ConfigId) -> DefinitionPart:
        raw = plain(node)
        if unknown := [key for key in raw if key not in _FIELDS]:
            detail = f"a use of a template has only the fields {', '.join(sorted(_FIELDS))}"
            raise DefinitionError(tuple(problem(f"/{k}", detail, key_at(node, k)) for k in unknown))
        template = self._templates.find(_ref(raw["template"], node))
        if template is None:
            detail = f"there is no template {raw['template']}; GET /api/v1/templates lists them"
            raise error("/template", detail, at(node, "template"))
        given = raw.get("parameters") or {}
        if not isinstance(given, dict):
            raise error("/parameters", "parameters is a mapping", at(node, "parameters"))
        try:
            filled = template.fill(given)
        except ParameterError as wrong:
            raise DefinitionError(
                tuple(
                    problem(p.pointer, p.detail, at(node, *p.pointer.split("/")[1:]))
                    for p in wrong.problems
                )
            ) from None
        update = {
            "pipeline_id": config_id,
            "name": str(raw.get("name") or template.definition.name),
            "description": str(raw.get("description") or template.about.description),
            "parameters": filled,
        }
        return template.definition.model_copy(update=update)


def _uses_template(node: yaml.MappingNode) -> bool:
    return any(key.value == "template" for key, _ in node.value)


def _ref(written: object, node: yaml.Node) -> TemplateRefPart:
    parts = str(written).split("/")
    try:
        provider, domain, template = parts
        return TemplateRefPart(provider=provider, domain=domain, template=template)
    except (ValidationError, ValueError):
        detail = f"template: expected provider/domain/template, found {str(written)[:100]!r}"
        raise error("/template", detail, at(node, "template")) from None
