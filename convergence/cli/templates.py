"""Commands for pipelines that come with the product."""

from typing import Annotated

import typer

from convergence import ask
from convergence.cli.context import (
    Day,
    Output,
    Parameters,
    choose,
    connected,
    given_day,
    given_parameters,
    show,
    tenant_of,
)
from convergence.cli.following import Wait, started

app = typer.Typer(help="Ready-made pipelines.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="PROVIDER/DOMAIN/TEMPLATE, as `list` shows it.")]


@app.command("list")
def listing(output: Output = None) -> None:
    """List templates."""
    with connected() as client:
        show(client(ask.templates()).templates, ("template_id", "title"), form=output)


@app.command("show")
def one(name: Name, output: Output = None) -> None:
    """Show a template and the parameters it takes."""
    with connected() as client:
        found = client(ask.template(*parts(name)))
        columns = ("template_id", "title", "description", "parameters", "tables", "checks")
        show(found, columns, form=output)


@app.command()
def run(
    name: Name,
    day: Day = "",
    parameter: Parameters = None,
    wait: Wait = False,  # noqa: FBT002
    output: Output = None,
) -> None:
    """Run a template. With --wait, exit 0 only if it completes."""
    choose(output)
    with connected() as client:
        given = given_day(day), given_parameters(parameter)
        started(client, ask.start_template(tenant_of(client), *parts(name), *given), wait=wait)


def parts(name: str) -> tuple[str, str, str]:
    found = name.split("/")
    if len(found) != 3 or not all(found):  # noqa: PLR2004  its three names
        message = f"expected PROVIDER/DOMAIN/TEMPLATE, found {name!r}"
        raise typer.BadParameter(message, param_hint="name")
    return found[0], found[1], found[2]
