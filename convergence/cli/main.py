"""The command line `convergence`.

Exit codes: 0 done, 1 what was asked for did not succeed, 2 wrong usage, 3 the gateway
refused, 4 it does not answer, 5 no key is known.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from convergence import ask
from convergence.cli import (
    audit,
    backfills,
    credentials,
    keys,
    money,
    operator,
    pipelines,
    profiles,
    runs,
    schedules,
    templates,
)
from convergence.cli.context import CHOICES, Exit, Form, Output, connected, fail, refused, show
from convergence.cli.profiles import Profile
from convergence.client import Client
from convergence.errors import ApiError, ConnectionFailedError

app = typer.Typer(
    name="convergence",
    help="Runs cost pipelines and shows what came of them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
GROUPS = {
    "pipelines": pipelines.app,
    "templates": templates.app,
    "schedules": schedules.app,
    "backfill": backfills.app,
    "credentials": credentials.app,
    "keys": keys.app,
    "audit": audit.app,
    "tenants": operator.tenants,
}
for name, group in GROUPS.items():
    app.add_typer(group, name=name)
for command in (
    pipelines.validate,
    runs.run,
    runs.runs,
    runs.logs,
    runs.explain,
    runs.retry,
    runs.cancel,
    runs.checks,
    money.quota,
    money.cost,
    money.cost_changes,
    money.run_costs,
    operator.tick,
    operator.dead_letters,
):
    app.command()(command)


@app.callback()
def choices(
    profile: Annotated[
        str, typer.Option(envvar="CONVERGENCE_PROFILE", help="Which gateway and key.")
    ] = "default",
    output: Annotated[Form, typer.Option("-o", "--output", help="table, json or yaml.")] = (
        Form.TABLE
    ),
) -> None:
    CHOICES.profile, CHOICES.form = profile, output


@app.command()
def login(
    url: Annotated[str, typer.Option(help="The gateway.")] = "",
    key: Annotated[str, typer.Option(help="Asked for when left out.")] = "",
    admin_key: Annotated[str, typer.Option(help="An operator's key.")] = "",
) -> None:
    """Keep a gateway and a key in this profile, after trying them."""
    known = profiles.read(CHOICES.profile)
    url = url or known.url
    if not key and not admin_key:
        key = typer.prompt("API key", hide_input=True)
    with Client(url, key, admin_key=admin_key) as client:
        try:
            if key:
                client(ask.me())
            if admin_key:
                client(ask.tenants())
        except ApiError as error:
            refused(error)
        except ConnectionFailedError as error:
            fail(str(error), Exit.NO_CONNECTION)
    kept = Profile(url, key or known.key, admin_key or known.admin_key)
    place = profiles.keep(CHOICES.profile, kept)
    CHOICES.err.print(f"kept in {place} as {CHOICES.profile}", highlight=False)


@app.command()
def me(output: Output = None) -> None:
    """Show the tenant whose key this is."""
    with connected() as client:
        columns = ("tenant_id", "company_name", "status", "plan", "created_at")
        show(client(ask.me()), columns, form=output)


@app.command()
def up() -> None:
    """Start the whole platform on this machine, as `make run` does."""
    root = Path(__file__).parents[2]
    os.chdir(root)
    sys.path.insert(0, str(root))
    sys.argv = ["up"]
    runpy.run_module("deploy.local.up", run_name="__main__")


def main() -> None:
    # The same name however it is called: the shell's completion asks by it.
    app(prog_name="convergence")
