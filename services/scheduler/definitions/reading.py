"""Any definition that a tenant may save: either shape, or a template with parameters.

template: gcp/cost/billing_by_service
parameters: {minimum_cost: 0.5}
"""

import asyncio
from collections.abc import Sequence

import yaml
from pydantic import JsonValue, ValidationError

from contracts.identifiers import ConfigId
from contracts.pipelines import DefinitionPart
from contracts.platform import ProblemPart
from contracts.templates import TemplateRefPart
from services.scheduler.definitions.nodes import at, escape, keys_of, problem
from services.scheduler.definitions.shapes import read_definition
from services.scheduler.definitions.tree import Tree, compose
from services.scheduler.templates.library import Library, ParameterError, Template

LARGE = 16 * 1024
_FIELDS = {"template", "parameters", "name", "description", "pipeline_id"}


class Reader:
    """Reads definitions, knowing the templates."""

    def __init__(self, templates: Library) -> None:
        self._templates = templates

    def read(self, source: str, config_id: ConfigId) -> DefinitionPart:
        """Raises `DefinitionError` with everything that is wrong."""
        tree = compose(source)
        if _uses_template(tree):
            return self._use(tree, config_id)
        return read_definition(tree, config_id)

    async def read_soon(self, source: str, config_id: ConfigId) -> DefinitionPart:
        """The same; nothing else waits while a large one is read."""
        if len(source) < LARGE:
            return self.read(source, config_id)
        return await asyncio.to_thread(self.read, source, config_id)

    def template_of(self, source: str) -> Template | None:
        """What a saved definition uses; None also when it is not there any more."""
        if "template" not in source:
            return None
        tree = compose(source)
        return self._find(tree)[0] if _uses_template(tree) else None

    def _use(self, tree: Tree, config_id: ConfigId) -> DefinitionPart:
        raw, keys = tree.value, keys_of(tree.node)
        detail = f"a use of a template has only the fields {', '.join(sorted(_FIELDS))}"
        problems = [problem(f"/{escape(k)}", detail, keys[k]) for k in raw if k not in _FIELDS]
        template, wrong = self._find(tree)
        given, wrong_parameters = _filled(tree, template)
        tree.check([*problems, *wrong, *wrong_parameters])
        assert template is not None  # noqa: S101  else there was a problem
        update = {
            "pipeline_id": config_id,
            "name": str(raw.get("name") or template.definition.name),
            "description": str(raw.get("description") or template.about.description),
            "parameters": given,
        }
        return template.definition.model_copy(update=update)

    def _find(self, tree: Tree) -> tuple[Template | None, Sequence[ProblemPart]]:
        """The template that is named, or why there is none."""
        written, place = tree.value["template"], at(tree.node, "template")
        ref = _ref(written)
        if ref is None:
            detail = f"template: expected provider/domain/template, found {str(written)[:100]!r}"
            return None, [problem("/template", detail, place)]
        found = self._templates.find(ref)
        detail = f"there is no template {ref}; GET /api/v1/templates lists them"
        return found, [] if found else [problem("/template", detail, place)]


def _filled(
    tree: Tree, template: Template | None
) -> tuple[dict[str, JsonValue], Sequence[ProblemPart]]:
    """All parameters, or what is wrong with those given."""
    given, place = tree.value.get("parameters") or {}, at(tree.node, "parameters")
    if not isinstance(given, dict):
        return {}, [problem("/parameters", "parameters is a mapping", place)]
    if template is None:
        return {}, ()
    try:
        return template.fill(given), ()
    except ParameterError as wrong:
        return {}, [
            problem(p.pointer, p.detail, _place(tree.node, p.pointer)) for p in wrong.problems
        ]


def _place(node: yaml.Node, pointer: str) -> yaml.Node:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    return at(node, *(int(part) if part.isdecimal() else part for part in parts))


def _uses_template(tree: Tree) -> bool:
    return isinstance(tree.value, dict) and "template" in tree.value


def _ref(written: object) -> TemplateRefPart | None:
    parts = str(written).split("/")
    try:
        provider, domain, template = parts
        return TemplateRefPart(provider=provider, domain=domain, template=template)
    except (ValidationError, ValueError):
        return None
