"""Commands for API keys: the tenant's own, or with --tenant an operator's for any."""

from typing import Annotated

import typer

from convergence import ask
from convergence.cli.context import Output, connected, show

app = typer.Typer(help="API keys.", no_args_is_help=True)
COLUMNS = ("api_key_hash", "last_four", "description", "is_active", "created_at", "expires_at")
NEW = ("api_key", "api_key_hash", "created_at")
Tenant = Annotated[str, typer.Option(help="Whose; needs an operator's key.")]


@app.command("list")
def listing(tenant: Tenant = "", output: Output = None) -> None:
    """List keys, without their secrets."""
    with connected(admin=bool(tenant)) as client:
        show(client(ask.keys(tenant)).keys, COLUMNS, form=output)


@app.command()
def create(
    description: str = "",
    scope: Annotated[list[str] | None, typer.Option(help="E.g. runs:read; repeated.")] = None,
    tenant: Tenant = "",
    output: Output = None,
) -> None:
    """Make a key. It is shown this once."""
    with connected(admin=bool(tenant)) as client:
        show(client(ask.make_key(description, scope or (), tenant)), NEW, form=output)


@app.command()
def rotate(
    api_key_hash: str,
    overlap: Annotated[int, typer.Option(min=0, help="Seconds that both work.")] = 86_400,
    tenant: Tenant = "",
    output: Output = None,
) -> None:
    """Put a new key in the place of one; it is shown this once."""
    with connected(admin=bool(tenant)) as client:
        show(client(ask.rotate_key(api_key_hash, overlap, tenant)), NEW, form=output)


@app.command()
def revoke(api_key_hash: str, tenant: Tenant = "") -> None:
    """Revoke a key by its hash; it opens nothing within two seconds."""
    with connected(admin=bool(tenant)) as client:
        client(ask.revoke_key(api_key_hash, tenant))
