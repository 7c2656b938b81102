"""What a credential of each provider looks like, checked before it is sealed.

A fault names its field and what is expected there, never what was given.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from contracts.credentials import ONE_LINE, Provider

RSA_BITS = range(2048, 4097)
GoogleTokens = Literal["https://oauth2.googleapis.com/token"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=16_384)]
Line = Annotated[str, StringConstraints(pattern=ONE_LINE)]
Uuid = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
    ),
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]


class Shape(BaseModel):
    """Base of all shapes: unknown fields are refused, values are never shown."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True
    )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__


class GcpShape(Shape):
    """The JSON key of a service account, as Google gives it out."""

    type: Literal["service_account"]
    project_id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9.:-]{4,62}$")]
    private_key_id: Annotated[Line, StringConstraints(min_length=1, max_length=1024)]
    private_key: Text
    client_email: Annotated[
        str, StringConstraints(pattern=r"^[^@\s]{1,128}@[^@\s]{1,128}\.gserviceaccount\.com$")
    ]
    client_id: Line = Field(default="", max_length=100)
    token_uri: GoogleTokens = "https://oauth2.googleapis.com/token"  # noqa: S105  an address
    """Fixed: whoever could choose it would have the executor call them."""
    auth_uri: Line = Field(default="", max_length=200)
    auth_provider_x509_cert_url: Line = Field(default="", max_length=200)
    client_x509_cert_url: Line = Field(default="", max_length=500)
    universe_domain: Literal["googleapis.com"] = "googleapis.com"

    @field_validator("private_key")
    @classmethod
    def _is_a_key(cls, value: str) -> str:
        try:
            key = load_pem_private_key(
                value.encode(), password=None, unsafe_skip_rsa_key_validation=True
            )
        except (ValueError, TypeError, UnsupportedAlgorithm):
            msg = "expected a PEM private key without a password, as in the service account's JSON"
            raise ValueError(msg) from None
        if not isinstance(key, RSAPrivateKey) or key.key_size not in RSA_BITS:
            msg = "expected an RSA key of 2048 to 4096 bits, as Google makes them"
            raise ValueError(msg)
        return value


class AwsShape(Shape):
    """An access key; a temporary one (ASIA…) has a session token with it."""

    access_key_id: Annotated[str, StringConstraints(pattern=r"^(AKIA|ASIA)[A-Z0-9]{16}$")]
    secret_access_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/+=]{40}$")]
    session_token: str = Field(
        default="", max_length=4096, pattern=r"^[!-~]*$", validate_default=True
    )
    region: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")] = "us-east-1"
    role_arn: str = Field(default="", pattern=r"^(arn:aws[a-z-]*:iam::[0-9]{12}:role/.{1,512})?$")
    external_id: Line = Field(default="", max_length=1224)

    @field_validator("session_token")
    @classmethod
    def _temporary_keys_have_one(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("access_key_id", "").startswith("ASIA"):
            msg = "expected with a temporary key (ASIA…)"
            raise ValueError(msg)
        return value


class AzureShape(Shape):
    """An app registration with a client secret."""

    tenant_id: Uuid
    client_id: Uuid
    client_secret: Annotated[Line, StringConstraints(min_length=8, max_length=1024)]
    subscription_id: Uuid | None = None


class OpenAiShape(Shape):
    api_key: Annotated[str, StringConstraints(pattern=r"^sk-[A-Za-z0-9_-]{16,300}$")]
    organization: str = Field(default="", pattern=r"^(org-[A-Za-z0-9]{1,64})?$")
    project: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]{0,100}$")


class AnthropicShape(Shape):
    api_key: Annotated[str, StringConstraints(pattern=r"^sk-ant-[A-Za-z0-9_-]{16,300}$")]


class GenericShape(RootModel[dict[Name, Text]]):
    """Named secrets of any other service."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    root: dict[Name, Text] = Field(min_length=1, max_length=20, repr=False)


SHAPES: Mapping[Provider, type[BaseModel]] = {
    Provider.GCP: GcpShape,
    Provider.AWS: AwsShape,
    Provider.AZURE: AzureShape,
    Provider.OPENAI: OpenAiShape,
    Provider.ANTHROPIC: AnthropicShape,
    Provider.GENERIC: GenericShape,
}


def plaintext(provider: Provider, fields: Mapping[str, object]) -> bytes:
    """What is to be sealed: a JSON object of the provider's shape; raises `ValidationError`."""
    shape = SHAPES[provider].model_validate(fields)
    return shape.model_dump_json(exclude_none=True).encode()
