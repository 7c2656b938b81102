"""Commands about limits and cost."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from convergence import ask
from convergence.cli.context import CHOICES, Form, Output, choose, connected, show

BARS = "▁▂▃▄▅▆▇█"


def quota(output: Output = None) -> None:
    """Say what has run, what may still run, and when each limit resets."""
    choose(output)
    with connected() as client:
        found = client(ask.quota())
    if CHOICES.form is not Form.TABLE:
        show(found, ())
        return
    lines = (
        ("today", found.used_today, found.limits.daily, found.day_resets_at),
        ("this month", found.used_this_month, found.limits.monthly, found.month_resets_at),
    )
    for name, used, most, resets in lines:
        CHOICES.out.print(f"{name:<11} {used:>5} of {most:<6} resets {resets:%Y-%m-%d %H:%M} UTC")
    CHOICES.out.print(
        f"{'at once':<11} {found.running:>5} of {found.limits.concurrent:<6} {found.queued} waiting"
    )


def cost(
    by: Annotated[str, typer.Option(help="day, pipeline or run.")] = "day",
    days: Annotated[int, typer.Option(min=1, max=200, help="How far back.")] = 30,
    output: Output = None,
) -> None:
    """Say what runs have cost, with a line of it over time."""
    choose(output)
    since = datetime.now(UTC).date() - timedelta(days=days - 1)
    with connected() as client:
        found = sorted(
            client(ask.costs(by, since)).costs, key=lambda one: (one.day or since, -one.cost)
        )
    column = {"day": "day", "pipeline": "pipeline_id"}.get(by, "pipeline_id")
    show(found, (column, "runs", "bytes_billed", "cost", "currency"))
    if by == "day" and CHOICES.form is Form.TABLE and found:
        of = {one.day: float(one.cost) for one in found}
        CHOICES.out.print(sparkline([of.get(since + timedelta(days=n), 0.0) for n in range(days)]))


def sparkline(values: list[float]) -> str:
    most = max(values) or 1.0
    return "".join(BARS[round(value / most * (len(BARS) - 1))] for value in values)
