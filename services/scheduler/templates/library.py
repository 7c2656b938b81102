"""The packaged templates, read once; a bad file is found when the service starts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.exceptions import ValidationError as SchemaMismatch
from pydantic import JsonValue, ValidationError

from contracts.pipelines import DefinitionPart
from contracts.platform import ProblemPart
from contracts.templates import TemplatePart, TemplateRefPart
from services.scheduler.definitions.hints import Hints
from services.scheduler.definitions.nodes import DefinitionError, escape
from services.scheduler.definitions.shapes import read_definition
from services.scheduler.definitions.tree import compose
from services.scheduler.templates.means import PARAMETER, checks_of, credentials_of, tables_of

HERE = Path(__file__).parent
_FIELDS = {"title", "description", "version", "parameters", "definition"}


class TemplateFileError(Exception):
    """A packaged file that is no template; names the file and the reason."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"template {path}: {reason}")


class ParameterError(ValueError):
    """Parameters that a template does not take, with every reason."""

    def __init__(self, ref: TemplateRefPart, problems: tuple[ProblemPart, ...]) -> None:
        self.problems = problems
        super().__init__(f"template {ref}: {problems[0].detail}")


@dataclass(frozen=True, slots=True)
class Template:
    """One template: what users see of it, and what runs."""

    about: TemplatePart
    definition: DefinitionPart

    def fill(self, given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The parameters with defaults for what is absent; raises `ParameterError`."""
        schema: Any = self.about.parameters
        defaults = {
            name: part["default"]
            for name, part in schema.get("properties", {}).items()
            if "default" in part
        }
        filled = {**defaults, **given}
        wrong = sorted(Draft202012Validator(schema).iter_errors(filled), key=lambda e: e.json_path)
        if wrong:
            problems = [part for one in wrong for part in _problems(one)]
            raise ParameterError(self.about.ref, tuple(problems))
        return filled


def _problems(wrong: SchemaMismatch) -> Iterator[ProblemPart]:
    pointer = "/".join(["/parameters", *map(escape, wrong.absolute_path)])
    if wrong.validator == "additionalProperties":
        schema, given, hints = cast("Any", wrong.schema), cast("Any", wrong.instance), Hints()
        known = schema.get("properties", {})
        for name in given:
            if name not in known:
                detail = f"{name[:80]!r} was unexpected; {hints.on(name, known)}"
                yield ProblemPart(pointer=f"{pointer}/{escape(name)}", detail=detail)
        return
    where = ".".join(map(str, wrong.absolute_path)) or "parameters"
    yield ProblemPart(pointer=pointer, detail=f"{where[:100]}: {wrong.message[:300]}")


class Library:
    """All templates of this release, by provider, domain and name."""

    def __init__(self, templates: Iterator[Template]) -> None:
        self._templates = {str(one.about.ref): one for one in templates}

    @classmethod
    def packaged(cls, root: Path = HERE) -> "Library":
        """Raises `TemplateFileError` for the first file that is no template."""
        return cls(_read(path, root) for path in sorted(root.glob("*/*/*.yml")))

    def find(self, ref: TemplateRefPart) -> Template | None:
        return self._templates.get(str(ref))

    def __iter__(self) -> Iterator[Template]:
        return iter(self._templates.values())


def _read(path: Path, root: Path) -> Template:
    try:
        return _template(path.read_text(), *path.relative_to(root).with_suffix("").parts)
    except (DefinitionError, ValidationError, SchemaError, ValueError) as error:
        raise TemplateFileError(path, error) from error


def _template(text: str, provider: str, domain: str, name: str) -> Template:
    tree = compose(text)
    tree.check()
    raw = tree.value
    if not isinstance(raw, dict) or set(raw) != _FIELDS:
        raise ValueError(f"expected exactly the fields {', '.join(sorted(_FIELDS))}")
    ref = TemplateRefPart(provider=provider, domain=domain, template=name)
    definition = read_definition(tree.below("definition"), ref.config_id)
    about = TemplatePart(
        ref=ref,
        version=raw["version"],
        title=raw["title"],
        description=raw["description"],
        parameters=raw["parameters"],
        credentials=tuple(credentials_of(ref, raw["parameters"], definition)),
        tables=tables_of(raw["parameters"], definition),
        checks=checks_of(definition),
    )
    _check_parameters(raw["parameters"], definition)
    return Template(about, definition.model_copy(update={"version": str(raw["version"])}))


def _check_parameters(schema: Any, definition: DefinitionPart) -> None:
    Draft202012Validator.check_schema(schema)
    if schema.get("type") != "object" or schema.get("additionalProperties") is not False:
        raise ValueError("parameters: expected type: object and additionalProperties: false")
    given = {
        name
        for name, part in schema.get("properties", {}).items()
        if "default" in part or name in schema.get("required", ())
    }
    used = set(PARAMETER.findall(definition.model_dump_json()))
    if missing := sorted(used - given):
        raise ValueError(f"parameters: {missing[0]} has neither a default nor is it required")
