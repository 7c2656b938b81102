"""A source that answers by HTTP, as declared: where, who, how it pages, what its records are."""

from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

MOST_QUOTED = 200
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BearerAuth(_Part):
    """`Authorization: Bearer <field of the credential>`."""

    kind: Literal["bearer"]
    credential: Name
    field: Name = "api_key"


class HeaderAuth(_Part):
    kind: Literal["header"]
    credential: Name
    field: Name = "api_key"
    header: Name


class BasicAuth(_Part):
    kind: Literal["basic"]
    credential: Name
    user_field: Name = "username"
    password_field: Name = "password"  # noqa: S105  the name of a field


class OAuth2Auth(_Part):
    """Client credentials: a token is fetched, and fetched anew when it is refused."""

    kind: Literal["oauth2"]
    credential: Name
    token_url: Name
    id_field: Name = "client_id"
    secret_field: Name = "client_secret"  # noqa: S105  the same
    scope: str = ""


class AwsAuth(_Part):
    """Signature Version 4, by the credential's access_key_id and secret_access_key."""

    kind: Literal["aws"]
    credential: Name
    service: Name
    """As AWS names it in signatures: `ce`, `securityhub`, `s3`."""
    region: str = Field(default="", max_length=40)
    """Empty: the credential's own, else us-east-1."""


class GoogleAuth(_Part):
    """A token of the service account whose JSON key the credential is."""

    kind: Literal["google"]
    credential: Name
    scopes: tuple[Name, ...] = ("https://www.googleapis.com/auth/cloud-platform.read-only",)


class AzureAuth(_Part):
    """A token of the service principal: tenant_id, client_id, client_secret."""

    kind: Literal["azure"]
    credential: Name
    scope: Name = "https://management.azure.com/.default"


Auth = Annotated[
    BearerAuth | HeaderAuth | BasicAuth | OAuth2Auth | AwsAuth | GoogleAuth | AzureAuth,
    Field(discriminator="kind"),
]


class NoPages(_Part):
    kind: Literal["none"] = "none"


class TokenPages(_Part):
    """The answer holds a token that asks for the next page; a cursor is the same."""

    kind: Literal["token", "cursor"]
    parameter: Name = "page"
    next: Name = "next_page"
    """Path of the token in the answer, dots between names."""
    in_body: bool = False
    """The token goes into the body of the question."""


class NumberedPages(_Part):
    """Pages by number, or by the number of what was skipped; ends with an empty page.

    Behind a page of fewer records than `size` there may also be none (404), or that page again.
    """

    kind: Literal["page", "offset"]
    parameter: Name
    first: int = Field(default=1, ge=0)
    size: int = Field(ge=1, le=10_000)
    """The most that a page has."""
    in_body: bool = False
    """The number goes into the body of the question."""


class LinkedPages(_Part):
    """The `Link` header names the next page; it must be on the same host."""

    kind: Literal["link"]
    next: str = Field(default="", max_length=200)
    """Path of the page's address in the answer, where that says it instead of a header."""


Pages = Annotated[NoPages | TokenPages | NumberedPages | LinkedPages, Field(discriminator="kind")]


class Incremental(_Part):
    """Each load reads on from the newest record it has; without it, the slice is read whole."""

    field: Name
    """Of a record: when it was made or changed."""
    unix: bool = False
    """Its times are seconds since 1970."""
    first: AwareDatetime
    """Where the first load begins."""
    look_back_days: float = Field(default=3.0, ge=0, le=400)
    """So much is read again, for records that come late."""
    key: tuple[Name, ...] = Field(default=(), max_length=10)
    """What names a record: one that has changed stands once, as it is now."""


class ApiSource(_Part):
    """What one `ingest.api` step asks, and of whom."""

    base_url: Name
    path: str = Field(default="", max_length=1000)
    method: Literal["GET", "POST"] = "GET"
    body: dict[str, JsonValue] | None = None
    """What is posted, as JSON; texts in it may use what `query` may."""
    auth: Auth | None = None
    headers: dict[str, str] = Field(default_factory=dict, max_length=20)
    query: dict[str, str | int | tuple[str, ...]] = Field(default_factory=dict, max_length=50)
    """May use `{period.start_unix}`, `_date` and `_iso`, and the same of `end`; `{cursor.iso}`."""
    incremental: Incremental | None = None
    pages: Pages = NoPages()
    records: tuple[str, ...] = Field(default=(), max_length=5)
    """Names on the way to the records, lists within lists; none: the answer is the list."""
    may_lack_records: bool = False
    """An answer leaves its records out where there are none, as Google's do."""
    inherit: tuple[str, ...] = Field(default=(), max_length=20)
    """What every record takes over from what it lies in."""
    constant: dict[str, str] = Field(default_factory=dict, max_length=20)
    """Added to every record."""
    whole: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,99})?$")
    """A column for each record as JSON, instead of a column for each of its fields."""
    requests_per_second: float = Field(default=5.0, gt=0, le=100)
    attempts: int = Field(default=6, ge=1, le=20)
    """How often one page is asked for before the step gives up."""
    timeout_seconds: float = Field(default=60.0, gt=0, le=600)
    most_pages: int = Field(default=10_000, ge=1, le=100_000)

    @model_validator(mode="after")
    def _bodies_are_posted(self) -> Self:
        in_body = getattr(self.pages, "in_body", False)
        if self.method != "POST" and (self.body is not None or in_body):
            msg = "a body is sent by `method: POST` only"
            raise ValueError(msg)
        if self.whole and self.incremental is not None:
            msg = "`whole` does not go with `incremental`, which looks into records"
            raise ValueError(msg)
        return self


class SelectionError(Exception):
    """An answer without the records that the source promises."""

    def __init__(self, path: tuple[str, ...], found: Any) -> None:
        where, advice = ".".join(path) or "the answer", ""
        is_ = type(found).__name__
        if isinstance(found, dict):
            is_ = f"an object with {', '.join(found)[:MOST_QUOTED] or 'nothing in it'}"
            advice = ": name in `records` where its list lies"
        super().__init__(f"{where} should be a list of records but is {is_}{advice}")


def records_of(source: ApiSource, answer: Any) -> list[dict[str, Any]]:
    """The records in an answer, with what they inherit. Raises `SelectionError`."""
    if isinstance(answer, dict) and not source.records:
        raise SelectionError((), answer)
    inherited = dict.fromkeys(source.inherit)
    return list(_records(source, answer, source.records, inherited))


def listed(source: ApiSource, answer: Any) -> int:
    """How many a page has, as its source counts: in the outermost list with records."""
    for name in source.records:
        if isinstance(answer, list):
            break
        answer = answer.get(name)
    return len(answer) if isinstance(answer, list) else int(answer is not None)


def _records(
    source: ApiSource, node: Any, path: tuple[str, ...], inherited: dict[str, Any]
) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [r for item in node for r in _records(source, item, path, inherited)]
    if not isinstance(node, dict):
        raise SelectionError(source.records, node)
    inherited = {name: node.get(name, value) for name, value in inherited.items()}
    if not path:
        return [{**inherited, **node, **source.constant}]
    if source.may_lack_records and path[0] not in node:
        return []
    if path[0] not in node or not isinstance(node[path[0]], list | dict):
        raise SelectionError(source.records, node.get(path[0]))
    return _records(source, node[path[0]], path[1:], inherited)
