"""What a bench found, kept for the page that shows it: docs/performance.md.

A figure is a ratio against something measured in the same run, wherever there is
something to measure against; rounds are kept, so that the page can show the spread.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

FOLDER = Path(__file__).parents[2] / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, in rounds, and what it is held against."""

    name: str
    unit: str
    rounds: Sequence[float]
    beside: str = ""
    """What else was measured in the same run."""
    beside_rounds: Sequence[float] = ()
    aim: float | None = None
    """Of the ratio where there is one, else of the figure."""
    more_is_better: bool = True

    def __str__(self) -> str:
        said = f"{self.name:<44} {_told(self.rounds, self.unit)}"
        if self.ratio is not None:
            said += (
                f"   {self.beside}: {_told(self.beside_rounds, self.unit)}   {self.ratio:.2f} times"
            )
        return said if self.reached is not False else f"{said}   aim {self.aim:g} missed"

    @property
    def value(self) -> float:
        return median(self.rounds)

    @property
    def ratio(self) -> float | None:
        """How many times better than what is beside it; above 1 is better."""
        if not self.beside_rounds:
            return None
        other = median(self.beside_rounds)
        return self.value / other if self.more_is_better else other / self.value

    @property
    def reached(self) -> bool | None:
        if self.aim is None:
            return None
        if self.ratio is not None:
            return self.ratio >= self.aim
        return self.value >= self.aim if self.more_is_better else self.value <= self.aim


@dataclass(frozen=True, slots=True)
class Curve:
    """How a figure grows with something."""

    name: str
    over: str
    unit: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the processor time of something goes."""

    name: str
    parts: Sequence[tuple[str, float]]
    """Functions, and their percentages by themselves; the largest first."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All of one bench."""

    area: str
    figures: Sequence[Figure] = ()
    curves: Sequence[Curve] = field(default=())
    on: str = ""
    """The day of it, once it is kept."""
    note: str = ""
    """What a reader needs to know who sees the figures."""
    profiles: Sequence[Profile] = ()

    def keep(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        dated = replace(self, on=datetime.now(UTC).date().isoformat())
        (FOLDER / f"{self.area}.json").write_text(json.dumps(asdict(dated)))


def _told(rounds: Sequence[float], unit: str) -> str:
    return f"{median(rounds):,.4g} {unit} ({min(rounds):,.4g} to {max(rounds):,.4g})"


def percentiles(values: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(values, n=100)
    return {"P50": cuts[49], "P95": cuts[94], "P99": cuts[98]}


def kept() -> list[Findings]:
    """All benches that have run in this checkout, by area."""
    return [_read(path) for path in sorted(FOLDER.glob("*.json"))]


def _read(path: Path) -> Findings:
    found = json.loads(path.read_text())
    figures = [Figure(**one) for one in found["figures"]]
    curves = [Curve(**one) for one in found["curves"]]
    profiles = [Profile(**one) for one in found.get("profiles", ())]
    on, note = found.get("on", ""), found.get("note", "")
    return Findings(found["area"], figures, curves, on, note, profiles)
