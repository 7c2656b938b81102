"""`${name}` in the SQL and the names of a definition, as every service reads it."""

import re

from contracts.runs import RunRequestedV1

VARIABLE = re.compile(r"(?P<quote>['\"]?)\$\{(?P<name>[^}]*)\}(?P=quote)")
_PARAMETER = "parameters."
_IN_NAME = re.compile(r"[A-Za-z0-9_`$]")
_NAME_PART = re.compile(r"[A-Za-z0-9_]{1,100}")


def is_in_a_name(match: "re.Match[str]") -> bool:
    """Whether a variable is a part of a name, as in `costs_${parameters.region}`."""
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    return bool(_IN_NAME.match(before) or _IN_NAME.match(after))


def written_in_a_name(name: str, request: RunRequestedV1) -> str | None:
    """What a variable is in a name; None when the run has none of it."""
    match name:
        case "tenant_id":
            return str(request.tenant_id)
        case "date":
            return request.run_date.isoformat().replace("-", "")
        case "run_id":
            return str(request.run_id).replace("-", "_")
    if not name.startswith(_PARAMETER):
        return None
    value = request.parameters.get(name.removeprefix(_PARAMETER))
    return None if value is None else str(value)


def fits_in_a_name(text: str) -> bool:
    """Letters, digits and underscores: a value is a part of a name and no more."""
    return _NAME_PART.fullmatch(text) is not None
