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
    *,
    heads: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Note here where each chain ends.")
    ] = None,
    expect: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="An earlier note; finds what was cut off."),
    ] = None,
) -> None:
    """Check the hash chains of what was recorded; exit 1 when one is broken or cut off."""
    try:
        if file is not None:
            with file.open(encoding="utf-8") as lines:
                verdict = chains.check(lines, heads=heads, expect=expect)
        else:
            with connected() as client:
                found = client.export(f"{EVENTS}?order=chain")
                verdict = chains.check(found, heads=heads, expect=expect)
    except (
        chains.BrokenLinkError,
        chains.NotAnExportError,
        chains.NotANoteError,
        OSError,
    ) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    for one in verdict.missing:
        typer.echo(one, err=True)
    if verdict.missing:
        raise typer.Exit(1)
    typer.echo(f"{verdict.rows} rows in {len(verdict.heads)} chains, unbroken")
