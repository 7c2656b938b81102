"""Identifiers that cross service borders: distinct types, parsed once at the edge."""

import re
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


class InvalidIdentifierError(ValueError):
    """A text that is not an identifier of its kind; names the kind and the rule."""

    def __init__(self, kind: str, value: str, rule: str) -> None:
        self.kind = kind
        super().__init__(f"{value[:80]!r} is not a valid {kind}: {rule}")


class Identifier(str):
    """A string that satisfies its class's pattern; constructing one checks it."""

    __slots__ = ()
    pattern: ClassVar[re.Pattern[str]]
    rule: ClassVar[str]

    def __new__(cls, value: str) -> Self:
        if not cls.pattern.fullmatch(value):
            raise InvalidIdentifierError(cls.__name__, value, cls.rule)
        return super().__new__(cls, value)

    @classmethod
    def made(cls, value: str) -> Self:
        """Of a text that was made as one: it is not checked."""
        return super().__new__(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Half the cost of a message: what is one already is not checked again, nothing twice."""
        pattern = f"^(?:{cls.pattern.pattern})$"
        checked = core_schema.no_info_after_validator_function(
            partial(str.__new__, cls),
            core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"),
        )
        is_one_or_checked = core_schema.union_schema(
            [core_schema.is_instance_schema(cls), checked],
            mode="left_to_right",
            custom_error_type="string_pattern_mismatch",  # one error, not one for each of both
            custom_error_context={"pattern": pattern},
        )
        return core_schema.json_or_python_schema(
            json_schema=checked,
            python_schema=is_one_or_checked,
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Say the pattern in both directions, so that narrowing it is seen as a change."""
        return {"type": "string", "pattern": f"^(?:{cls.pattern.pattern})$"}


class TenantId(Identifier):
    """A tenant, and the name of its main dataset."""

    pattern = re.compile(r"[a-z][a-z0-9_]{2,49}")
    rule = "use 3 to 50 lower-case letters, digits and underscores, starting with a letter"


class RunId(Identifier):
    """One run of one pipeline, over all its attempts."""

    pattern = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
    rule = "use a lower-case UUID"


class ConfigId(Identifier):
    """A pipeline definition of one tenant, over all its revisions."""

    pattern = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
    rule = (
        "use 1 to 100 lower-case letters, digits, underscores and dashes, "
        "starting with a letter or digit"
    )


class BackfillId(Identifier):
    """One backfill of one pipeline."""

    pattern = RunId.pattern
    rule = RunId.rule


class StepId(Identifier):
    """A step within one pipeline definition."""

    pattern = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
    rule = "use 1 to 100 letters, digits, underscores and dashes, starting with a letter or digit"


class CredentialId(Identifier):
    """A stored credential of one tenant."""

    pattern = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
    rule = ConfigId.rule


class KeyHash(Identifier):
    """The keyed hash of an API key: all that is ever known of it outside the gateway."""

    pattern = re.compile(r"[0-9a-f]{64}")
    rule = "use 64 lower-case hexadecimal digits"


class DatasetName(Identifier):
    """A BigQuery dataset of a tenant."""

    pattern = re.compile(r"[a-z][a-z0-9_]{2,99}")
    rule = "use 3 to 100 lower-case letters, digits and underscores, starting with a letter"


class WebhookId(Identifier):
    """An address of a tenant that is told what happens."""

    pattern = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
    rule = ConfigId.rule
