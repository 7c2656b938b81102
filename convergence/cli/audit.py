"""Commands about what was recorded."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from convergence import ask
from convergence.cli.context import Output, connected, show
from services.audit_log import verify as chains

app = typer.Typer(help="What was recorded.", no_args_is_help=True)
EVENTS = "/api/v1/audit/events"


@app.command()
def events(
    type_: Annotated[str, typer.Option("--type", help="E.g. run.finished.v1.")] = "",
    run: Annotated[str, typer.Option(help="Only of this run.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    output: Output = None,
) -> None:
    """List what was recorded."""
    with connected() as client:
        found = client(ask.events(type_, run, limit=limit)).events
        show(found, ("event_time", "event_type", "source", "run_id"), form=output)


@app.command()
def export() -> None:
    """Write everything recorded as NDJSON, chain after chain, to be verified."""
    with connected() as client:
        for line in client.export(f"{EVENTS}?order=chain"):
            sys.stdout.write(line + "\n")


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="An export; else asks.")
    ] = None,
) -> None:
    """Check the hash chains of what was recorded; exit 1 at the first broken link."""
    try:
        if file is not None:
            with file.open(encoding="utf-8") as lines:
                verdict = chains.verify(lines)
        else:
            with connected() as client:
                verdict = chains.verify(client.export(f"{EVENTS}?order=chain"))
    except (chains.BrokenLinkError, chains.NotAnExportError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{verdict.rows} rows in {len(verdict.heads)} chains, unbroken")
