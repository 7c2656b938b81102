"""What the command line draws: amounts over time, and how far a run has come."""

import io
from collections.abc import Iterator
from decimal import Decimal

import pytest
from rich.console import Console

from convergence import models
from convergence.ask import Ask
from convergence.cli import following, runs
from convergence.cli.context import CHOICES
from convergence.cli.money import MOST_BARS, sparkline


def drawn(*amounts: str) -> str:
    return sparkline([Decimal(amount) for amount in amounts])


def test_a_bar_is_as_tall_as_its_part_of_the_most() -> None:
    assert drawn("0", "1", "3.5", "7") == "▁▂▅█"


def test_nothing_and_credits_stand_at_the_bottom() -> None:
    assert drawn("0", "0") == "▁▁"
    assert drawn("-5", "10") == "▁█"
    assert drawn("-5", "-1") == "▁▁"


def test_many_days_are_drawn_together() -> None:
    line = drawn(*["1"] * (MOST_BARS * 3))
    assert len(line) == MOST_BARS
    assert set(line) == {"█"}


RUN = models.Run.model_validate(
    {
        "run_id": "9a3f1c1e-6d0b-4c53-9a55-0f6d6b0f2a11",
        "config_id": "daily",
        "revision": 1,
        "status": "COMPLETED",
        "attempt": 1,
        "run_date": "2026-03-14",
        "submitted_at": "2026-03-14T09:00:00Z",
        "started_at": "2026-03-14T09:00:01Z",
    }
)
NOW = "2026-03-14T09:00:02Z"
STEP = {"step_type": "bq_etl.query", "attempt": 1, "duration_ms": 0, "rows": 0, "bytes": 0}
STEPS = models.Steps.model_validate(
    {
        "run_id": RUN.run_id,
        "steps": [
            {"step_id": "one", "status": "COMPLETED", **STEP},
            {"step_id": "two", "status": "RUNNING", **STEP},
        ],
    }
)


class Watched:
    """A client that sees a run of two steps go to its end."""

    def __init__(self, run: models.Run, steps: models.Steps) -> None:
        self._run, self._steps = run, steps

    def watch(self, _run_id: str) -> Iterator[models.Run]:
        yield self._run.model_copy(update={"status": "QUEUED", "started_at": None})
        yield self._run.model_copy(update={"status": "RUNNING"})
        yield self._run

    def __call__(self, _: Ask[models.Steps]) -> models.Steps:
        return self._steps


def test_a_run_is_drawn_while_it_goes_and_steps_only_once_they_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(CHOICES, "err", Console(file=screen, force_terminal=True, width=100))
    assert following.follow(Watched(RUN, STEPS), RUN.run_id) == RUN  # type: ignore[arg-type]
    assert "None" not in screen.getvalue()
    assert "1/2 steps" in screen.getvalue()


class Lagging:
    """A client that knows of each step a look later."""

    def __init__(self, *looks: dict[str, str]) -> None:
        self._looks = list(looks)

    def __call__(self, _: Ask[models.Steps]) -> models.Steps:
        seen = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        steps = [{**STEP, "step_id": i, "status": s, "finished_at": NOW} for i, s in seen.items()]
        return models.Steps.model_validate({"run_id": RUN.run_id, "steps": steps})


def test_what_is_known_of_steps_only_after_the_end_is_told_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "LOOK_SECONDS", 0)
    began = {"one": "RUNNING"}
    ended = {"one": "FAILED"}
    client = Lagging({}, began, began, ended, ended, ended, {**ended, "two": "SKIPPED"})
    runs._tell_the_last(client, RUN.run_id, set())  # type: ignore[arg-type]
    told = [line.split()[1:3] for line in capsys.readouterr().out.splitlines()]
    assert told == [["one", "RUNNING"], ["one", "FAILED"], ["two", "SKIPPED"]]
