"""What a template needs, makes and checks, read out of its own steps.

What is not written there comes with the type of a step, or with its mapping; a test
runs every template and compares.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from contracts.credentials import Provider
from contracts.pipelines import DefinitionPart, StepPart
from contracts.templates import CredentialNeedPart, CredentialWayPart, TemplateRefPart
from libs.warehouse.data_tables import COSTS, FINDINGS, LOADS

PARAMETER = re.compile(r"\$\{parameters\.([A-Za-z0-9_]+)\}")
_OWN_DATASET = "${tenant_id}."
_MADE_BESIDE = {"cost.focus": (COSTS, LOADS), "compliance.ocsf": (FINDINGS,)}
FOCUS_RULES = "focus_1_4"
"""Stands for the rules of FOCUS, each of which is told by its name there."""
_OF_COSTS = (
    "cost_is_conserved",
    "rows_are_accounted_for",
    "costs_are_left",
    "amounts_fit_eighteen_decimals",
    "closed_periods_stay",
    "commitments_cost_what_they_cover",
    "no_day_is_missing",
    "charges_are_recent",
    "daily_cost_is_usual",
    "no_charge_stands_in_two_slices",
    FOCUS_RULES,
    "charges_lie_in_their_billing_period",
    "only_credits_and_corrections_are_negative",
    "a_billing_account_has_one_currency",
    "usage_has_tags",
)
_CLOUD = ("service_is_known", "region_is_known", "unit_is_known", "line_type_is_known")
_OF_MAPPINGS = {
    "aws_cur": (
        "no_row_stands_in_two_files",
        "covered_usage_is_negated",
        "discounts_are_in_net_costs",
        *_CLOUD,
    ),
    "azure_export": ("no_row_stands_in_two_files", *_CLOUD),
    "gcp_billing": ("credits_stand_once", "consumed_unit_is_known", *_CLOUD),
    "openai_costs": ("unit_is_known",),
    "anthropic_costs": (),
    "focus_file": ("no_row_stands_in_two_files", "line_type_is_known"),
}
_KEY = ("api_key",)
_AWS = CredentialWayPart(
    to="s3://", provider=Provider.AWS, fields=("access_key_id", "secret_access_key")
)
_GOOGLE = CredentialWayPart(
    to="gs://",
    provider=Provider.GCP,
    fields=("type", "project_id", "private_key_id", "private_key", "client_email"),
)
_AZURE = CredentialWayPart(
    to="az://", provider=Provider.AZURE, fields=("tenant_id", "client_id", "client_secret")
)
_OF_FILES = (
    _AWS,
    _GOOGLE,
    _AZURE,
    CredentialWayPart(to="az://", provider=Provider.GENERIC, fields=("sas_token",)),
    CredentialWayPart(to="https://", provider=Provider.GENERIC, fields=_KEY),
    CredentialWayPart(to="https://", provider=Provider.GENERIC, fields=("username", "password")),
)
_OF_APIS = {"aws": _AWS, "google": _GOOGLE, "azure": _AZURE}


def credentials_of(
    ref: TemplateRefPart, schema: Mapping[str, Any], definition: DefinitionPart
) -> Iterator[CredentialNeedPart]:
    """One for each parameter that names a stored credential."""
    needed = schema.get("required", ())
    ways: dict[str, tuple[CredentialWayPart, ...]] = {}
    for step in definition.steps:
        config: Any = step.config
        auth = config.get("auth", {})
        for name in PARAMETER.findall(str(config.get("credential", ""))):
            ways[name] = _OF_FILES
        for name in PARAMETER.findall(str(auth.get("credential", ""))):
            ways[name] = (_of_api(ref, auth, str(config.get("base_url", "")), schema),)
    for name, any_of in ways.items():
        yield CredentialNeedPart(parameter=name, required=name in needed, any_of=any_of)


def tables_of(schema: Mapping[str, Any], definition: DefinitionPart) -> tuple[str, ...]:
    """In the tenant's own dataset, called as they are unless a parameter says otherwise."""
    made = [name for step in definition.steps for name in _made(step)]
    return _once(_by_default(name, schema) for name in made)


def checks_of(definition: DefinitionPart) -> tuple[str, ...]:
    return _once(name for step in definition.steps for name in _checked(step))


def _of_api(
    ref: TemplateRefPart, auth: Mapping[str, Any], base_url: str, schema: Mapping[str, Any]
) -> CredentialWayPart:
    base_url = _by_default(base_url, schema)
    known = _OF_APIS.get(auth["kind"])
    if known is not None:
        return known.model_copy(update={"to": base_url})
    of = ref.provider.upper()
    provider = Provider(of) if of in Provider.__members__ else Provider.GENERIC
    return CredentialWayPart(to=base_url, provider=provider, fields=(auth.get("field", "api_key"),))


def _by_default(text: str, schema: Mapping[str, Any]) -> str:
    """As it is when no parameter is given; one without a default stays."""

    def default(match: re.Match[str]) -> str:
        return str(schema["properties"][match.group(1)].get("default", match.group()))

    return PARAMETER.sub(default, text)


def _made(step: StepPart) -> Iterator[str]:
    config: Any = step.config
    if "target_table" in config:
        yield str(config["target_table"]).removeprefix(_OWN_DATASET)
    yield from _MADE_BESIDE.get(step.type, ())


def _checked(step: StepPart) -> Iterator[str]:
    config: Any = step.config
    for check in config.get("checks", ()):
        yield check["name"]
    if step.type == "cost.focus":
        yield from _OF_COSTS
        yield from _OF_MAPPINGS[config["mapping"]]


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
