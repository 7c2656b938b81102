"""Commands for pipeline definitions."""

from pathlib import Path
from typing import Annotated

import typer

from convergence import ask, models
from convergence.cli.context import Output, connected, show

app = typer.Typer(help="Pipeline definitions.", no_args_is_help=True)
COLUMNS = ("config_id", "revision", "saved_at")
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="YAML or JSON.")]


@app.command("list")
def listing(output: Output = None) -> None:
    """List pipelines."""
    with connected() as client:
        found: list[models.Pipeline] = []
        after = ""
        while True:
            page = client(ask.pipelines(after))
            found += page.configs
            if not page.next_after:
                break
            after = page.next_after
        show(found, COLUMNS, form=output)


@app.command("show")
def one(pipeline: str) -> None:
    """Print a pipeline as its author wrote it."""
    with connected() as client:
        typer.echo(client(ask.pipeline(pipeline)).source, nl=False)


@app.command()
def save(pipeline: str, file: File, output: Output = None) -> None:
    """Save a definition; every fault is told with its line."""
    with connected() as client:
        saved = client(ask.save(pipeline, file.read_text(encoding="utf-8")))
        show(saved, ("config_id", "revision"), form=output)


@app.command()
def delete(pipeline: str) -> None:
    """Delete a pipeline."""
    with connected() as client:
        client(ask.delete(pipeline))
