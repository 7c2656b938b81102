"""Commands for the platform's operators: tenants, ticks, dead letters."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from convergence import ask, models
from convergence.cli.context import Output, connected, show

tenants = typer.Typer(help="Tenants (an operator's).", no_args_is_help=True)


class Job(StrEnum):
    TRIGGER = "trigger"
    QUEUE = "process-queue"
    DAILY = "reset-daily-quotas"


@tenants.command("list")
def listing(output: Output = None) -> None:
    """List tenants."""
    with connected(admin=True) as client:
        found: list[models.Tenant] = []
        cursor = ""
        while True:
            page = client(ask.tenants(cursor))
            found += page.tenants
            if not page.next_cursor:
                break
            cursor = page.next_cursor
        columns = ("tenant_id", "company_name", "status", "plan", "created_at")
        show(found, columns, form=output)


@tenants.command()
def create(tenant: str, company: str = "", plan: str = "STARTER") -> None:
    """Create a tenant with its datasets."""
    with connected(admin=True) as client:
        client(ask.create_tenant(tenant, company, plan))


def tick(job: Job, output: Output = None) -> None:
    """Do what Cloud Scheduler's ticks do; harmless to repeat (an operator's)."""
    with connected(admin=True) as client:
        columns = ("triggered_count", "queued_count", "retried_count", "expired_count")
        show(client(ask.tick(job.value)), columns, form=output)


def dead_letters(
    service: Annotated[str, typer.Option(help="Only what this one gave up.")] = "",
    type_: Annotated[str, typer.Option("--type", help="E.g. run.requested.v1.")] = "",
    days: Annotated[int, typer.Option(min=1, max=3650, help="How far back.")] = 30,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    output: Output = None,
) -> None:
    """List the messages that services gave up, the newest first (an operator's)."""
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days)
    with connected(admin=True) as client:
        found = client(ask.dead_letters(service, type_, since, limit=limit)).letters
        columns = ("given_up_at", "service", "message_type", "tenant_id", "attempt", "reason")
        show(found, columns, form=output)
