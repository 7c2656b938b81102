"""`${name}` in a step's config: identifiers are checked, values become query parameters.

No value is ever pasted into SQL: `'${date}'` and `${date}` both become `@run_date`.
Only the tenant's own id, whose form is fixed, stays text, and what is a part of a
name, as in `costs_${parameters.region}`: letters, digits and underscores, nothing else.
"""

import re
from dataclasses import dataclass, field

from contracts.runs import RunRequestedV1
from contracts.variables import VARIABLE, fits_in_a_name, is_in_a_name, written_in_a_name
from services.executor.steps.lexical import texts_of
from services.executor.steps.step import StepError

_PARAMETER = re.compile(r"parameters\.([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(slots=True)
class BoundSql:
    """SQL with named parameters, and their values."""

    text: str
    parameters: dict[str, object] = field(default_factory=dict)


def bind_sql(text: str, request: RunRequestedV1) -> BoundSql:
    """Raises `StepError` for a variable that does not exist, or stands inside a longer text."""
    bound, texts = BoundSql(""), texts_of(text) if "${" in text else ()
    values: dict[str, tuple[str, object]] = {
        "date": ("run_date", request.run_date),
        "run_id": ("run_id", str(request.run_id)),
    }

    def replacement(match: re.Match[str]) -> str:
        name, quote = match.group("name"), match.group("quote")
        if name == "tenant_id":
            return f"{quote}{request.tenant_id}{quote}"
        if not quote and any(start < match.start() < end for start, end in texts):
            raise _inside_a_text(name)
        if not quote and is_in_a_name(match):
            return _part_of_name(name, request)
        parameter, value = values.get(name) or _parameter(name, request)
        bound.parameters[parameter] = value
        return f"@{parameter}"

    bound.text = VARIABLE.sub(replacement, text)
    return bound


def _inside_a_text(name: str) -> StepError:
    return StepError(
        "bad_parameter",
        f"${{{name}}} stands inside a longer text, where no value can be bound: "
        f"write CONCAT(${{{name}}}, '...') instead",
    )


def _part_of_name(name: str, request: RunRequestedV1) -> str:
    value = _in_a_name(name, request)
    if not fits_in_a_name(value):
        raise StepError(
            "bad_parameter",
            f"${{{name}}} is a part of a name here, so it may have only letters, digits and "
            "underscores",
        )
    return value


def fill_name(text: str, request: RunRequestedV1) -> str:
    """Variables in the name of a table; the result is checked as a name by the caller."""

    def replacement(match: re.Match[str]) -> str:
        return _in_a_name(match.group("name"), request)

    return VARIABLE.sub(replacement, text)


def _in_a_name(name: str, request: RunRequestedV1) -> str:
    value = written_in_a_name(name, request)
    return str(_parameter(name, request)[1]) if value is None else value


def fill_text(text: str, request: RunRequestedV1) -> str:
    """Variables in a text that is no SQL and no name."""

    def replacement(match: re.Match[str]) -> str:
        name, quote = match.group("name"), match.group("quote")
        plain = {
            "tenant_id": str(request.tenant_id),
            "date": request.run_date.isoformat(),
            "run_id": str(request.run_id),
        }
        value = plain[name] if name in plain else str(_parameter(name, request)[1])
        return f"{quote}{value}{quote}"

    return VARIABLE.sub(replacement, text)


def _parameter(name: str, request: RunRequestedV1) -> tuple[str, object]:
    match = _PARAMETER.fullmatch(name)
    if match is None:
        known = "tenant_id, date, run_id and parameters.NAME"
        raise StepError("unknown_variable", f"${{{name}}} is no variable; there are {known}")
    key = match.group(1)
    if key not in request.parameters:
        given = ", ".join(sorted(request.parameters)) or "none"
        raise StepError(
            "missing_parameter", f"the run has no parameter {key!r}; it was given {given}"
        )
    return f"p_{key}", request.parameters[key]
