"""Texts without the secrets that a step has opened.

A source may repeat in an answer what it was sent, and errors quote answers.
What is concealed holds for one try of one step, in all that it calls.
"""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Shorter values would tear holes into any text, and keep no secret."""
PUBLIC = frozenset(
    {
        "access_key_id",
        "auth_provider_x509_cert_url",
        "auth_uri",
        "client_email",
        "client_id",
        "client_x509_cert_url",
        "organization",
        "project",
        "project_id",
        "region",
        "role_arn",
        "subscription_id",
        "tenant_id",
        "token_uri",
        "type",
        "universe_domain",
    }
)
"""Fields of credentials that say who somebody is, and let nobody in."""
_CONCEALED: ContextVar[set[str] | None] = ContextVar("concealed", default=None)


@contextmanager
def concealing() -> Iterator[None]:
    """What is opened inside is concealed until the end of the block."""
    token = _CONCEALED.set(set())
    try:
        yield
    finally:
        _CONCEALED.reset(token)


def conceal(fields: Mapping[str, str]) -> None:
    """From now on these are in no text that `without_secrets` has seen."""
    known = _CONCEALED.get()
    if known is None:
        return
    for name, value in fields.items():
        if name not in PUBLIC:
            known.update(part for part in (value, *value.split()) if len(part) >= SHORTEST)


def without_secrets(text: str) -> str:
    """The text with dots where it holds a secret, as it is or as JSON, URLs and base64 have it."""
    for secret in sorted(_CONCEALED.get() or (), key=len, reverse=True):
        for form in _forms(secret):
            text = text.replace(form, "…")
    return text


def _forms(secret: str) -> tuple[str, ...]:
    plain = secret.encode()
    coded = [
        code(bytes(shift) + plain).decode()[(0, 2, 3)[shift] : (shift + len(plain)) * 8 // 6]
        for code in (b64encode, urlsafe_b64encode)
        for shift in range(3)
    ]
    return (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret), *coded)
