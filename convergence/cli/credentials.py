"""Commands for provider credentials, which go in and never come out."""

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml

from convergence import ask
from convergence.cli.context import Exit, Output, connected, fail, show, tenant_of

app = typer.Typer(help="Credentials of clouds and services.", no_args_is_help=True)
COLUMNS = ("credential_id", "provider", "created_at", "updated_at")
File = Annotated[typer.FileText, typer.Argument(help="Its fields, JSON or YAML; - is stdin.")]


class Provider(StrEnum):
    GCP = "GCP"
    AWS = "AWS"
    AZURE = "AZURE"
    OPENAI = "OPENAI"
    ANTHROPIC = "ANTHROPIC"
    GENERIC = "GENERIC"


@app.command("list")
def listing(output: Output = None) -> None:
    """List credentials, without their secrets."""
    with connected() as client:
        found = client(ask.credentials(tenant_of(client))).credentials
        show(found, COLUMNS, form=output)


@app.command()
def store(
    provider: Annotated[Provider, typer.Argument(case_sensitive=False)],
    file: File,
    name: Annotated[str, typer.Option(help="Otherwise the provider's.")] = "",
    output: Output = None,
) -> None:
    """Store a credential, or replace the one of that name. It is encrypted at once."""
    fields = _fields(file)
    with connected() as client:
        stored = client(ask.store_credential(tenant_of(client), provider.value, fields, name))
        show(stored, ("credential_id", "provider", "action", "dataset_status"), form=output)


def _fields(file: typer.FileText) -> dict[str, Any]:
    """Its text is never repeated: it holds secrets."""
    try:
        found = yaml.safe_load(file)
    except (yaml.YAMLError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        place = "standard input" if file is sys.stdin else file.name
        fail(f"{place}: expected a JSON or YAML object with the credential's fields", Exit.USAGE)
    return found


@app.command("test")
def attempt(name: str, output: Output = None) -> None:
    """Try a credential with its provider; exit 1 unless it works or cannot be tried."""
    with connected() as client:
        tried = client(ask.try_credential(tenant_of(client), name))
        show(tried, ("credential_id", "provider", "verdict", "detail"), form=output)
    if tried.verdict not in {"works", "untestable"}:
        raise typer.Exit(Exit.DID_NOT_SUCCEED)


@app.command()
def delete(name: str) -> None:
    """Destroy a credential."""
    with connected() as client:
        client(ask.delete_credential(tenant_of(client), name))
