"""What goes wrong on the way to a token. No message quotes a field of the credential.

CloudAuthError
├── UnusableKeyError   a field is missing, or not what it should be
├── NotLetInError      the provider says no
└── AwayError          nobody answered; trying again may help
"""

from collections.abc import Mapping


class CloudAuthError(Exception):
    """Base of what signing in raises."""


class UnusableKeyError(CloudAuthError):
    def __init__(self, provider: str, problem: str) -> None:
        super().__init__(f"the {provider} credential cannot be used: {problem}")


class NotLetInError(CloudAuthError):
    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(f"{provider} does not let the credential in: {reason}")


class AwayError(CloudAuthError):
    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(f"{provider} gave no token: {reason}")


def field_of(provider: str, fields: Mapping[str, str], name: str) -> str:
    """Raises `UnusableKeyError` when it is absent."""
    value = fields.get(name, "")
    if not value:
        raise UnusableKeyError(provider, f"it has no field {name!r}")
    return value
