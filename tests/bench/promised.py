"""What users were promised: how soon the gateway answers, and how seldom it fails, while all work.

    python -m tests.bench.promised [--rates 20 40 60] [--seconds 30]

All five services are up, runs go on, and requests of all kinds arrive at their rate, whether or
not those before them have been answered. Each is timed from when it was due, so that waiting for
a platform that does not keep up counts too. One rate after another, each on a platform of its own:
what one has left undone is not the next one's.
"""

import argparse
import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from libs.settings import GatewaySettings
from tests.bench.bench_executor import onboard, save_text, timed
from tests.bench.figures import Curve, Figure, Findings, percentiles
from tests.pipelines import ONE_STEP
from tests.stack import Stack

TENANTS = tuple(f"mixed_{number}" for number in range(10))
PIPELINES, RUNS = "/api/v1/pipelines", "/api/v1/pipelines/runs"
AS_SHIPPED = ("question_timeout_seconds", "rate_limit_tenant", "rate_limit_address")
ROUNDS = 3
"""Of as much of the time each."""
FEWEST = 25
"""Requests of which a 95th percentile can be told, should chance draw a few less."""
P95_MS, P99_MS, FAILED_PERCENT = 200.0, 500.0, 0.1
TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request, and its share of all."""

    name: str
    answered: str
    percent: int
    path: str
    method: str = "GET"
    expected: int = 200
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)


MEMORY, DECIDED, WAREHOUSE = "from memory", "once it is decided", "from the warehouse"
GROUPS = MEMORY, DECIDED, WAREHOUSE
SAVE = "PUT", 200, ONE_STEP, {"If-Match": "*"}
KINDS = (
    Kind("status of a run", MEMORY, 45, RUNS + "/{run_id}"),
    Kind("steps of a run", MEMORY, 10, RUNS + "/{run_id}/steps"),
    Kind("read a pipeline", MEMORY, 5, f"{PIPELINES}/configs/ones"),
    Kind("quota", MEMORY, 10, "/api/v1/tenants/quota"),
    Kind("start a run", DECIDED, 10, f"{PIPELINES}/run/ones", "POST", 202, "{}"),
    Kind("save a pipeline", DECIDED, 5, f"{PIPELINES}/configs/saved", *SAVE),
    Kind("latest runs", WAREHOUSE, 10, f"{RUNS}?limit=20"),
    Kind("audit events", WAREHOUSE, 5, "/api/v1/audit/events?limit=20"),
)


@dataclass(slots=True)
class Load:
    """Asks, and keeps how long each answer took and which were not what was asked for."""

    stack: Stack
    session: aiohttp.ClientSession
    latest: dict[str, str]
    """A run of each tenant that it has started."""
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    took: list[tuple[int, Kind, float]] = field(default_factory=list)
    """In which round it was due; of which kind; for how many milliseconds it was waited for."""
    failed: Counter[str] = field(default_factory=Counter)

    async def run(self, rate: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        shares = [kind.percent for kind in KINDS]
        kinds = self.chance.choices(KINDS, shares, k=round(rate * seconds))
        async with asyncio.TaskGroup() as group:
            for number, kind in enumerate(kinds):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - loop.time()))
                tenant, part = TENANTS[number % len(TENANTS)], number * ROUNDS // len(kinds)
                group.create_task(self._one(kind, tenant, due, part))

    async def _one(self, kind: Kind, tenant: str, due: float, part: int) -> None:
        path = kind.path.format(run_id=self.latest[tenant])
        url = f"http://127.0.0.1:{self.stack.port}{path}"
        headers = {"X-API-Key": self.stack.keys[tenant], **kind.headers}
        asked = self.session.request(kind.method, url, headers=headers, data=kind.body)
        try:
            async with asked as answer:
                body = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.failed[f"{kind.name}: {type(error).__name__}"] += 1
        else:
            if answer.status != kind.expected:
                self.failed[f"{kind.name}: {answer.status} {body.get('code', '')}"] += 1
            elif kind.method == "POST":
                self.latest[tenant] = body["run_id"]
        self.took.append((part, kind, (asyncio.get_running_loop().time() - due) * 1000))

    def rounds(self, answered: str = "") -> Sequence[Sequence[float]]:
        """How long requests took that are answered so, in each part of the time."""
        return [
            [ms for at, kind, ms in self.took if at == part and answered in {"", kind.answered}]
            for part in range(ROUNDS)
        ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.promised")
    parser.add_argument("--rates", type=float, nargs="+", default=[20, 40, 60])
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    fewest = min(given.rates) * given.seconds / ROUNDS * min(map(share, GROUPS))
    if fewest < FEWEST:
        parser.error(
            f"{fewest:.0f} of a kind in a round are too few: more seconds, or a higher rate"
        )
    figures: list[Figure] = []
    slow: dict[str, list[tuple[float, float]]] = {answered: [] for answered in GROUPS}
    for rate in given.rates:
        load = under(rate, given.seconds)
        found = figures_of(load, rate, given.seconds)
        for figure in found:
            print(figure)
        for what, times in load.failed.most_common():
            print(f"{times} times: {what}")
        for points, figure in zip(slow.values(), found[-len(GROUPS) :], strict=True):
            points.append((rate, figure.value))
        figures += found
    curves = [
        Curve(f"Requests answered {answered}, P95", "requests a second", "ms", points)
        for answered, points in slow.items()
    ]
    Findings("a mixed load", figures, curves, note=mix()).keep()


def under(rate: float, seconds: float) -> Load:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stack = Stack(Path(folder), as_shipped()).start()
        try:
            latest = {tenant: prepared(stack, tenant) for tenant in TENANTS}
            return asyncio.run(loaded(stack, latest, rate, seconds))
        finally:
            stack.stop()


def share(answered: str) -> float:
    return sum(kind.percent for kind in KINDS if kind.answered == answered) / 100


def mix() -> str:
    """What the load is made of, and how each of it is answered."""
    told = (
        f"{answered} "
        + ", ".join(f"{k.name} {k.percent} %" for k in KINDS if k.answered == answered)
        for answered in GROUPS
    )
    return f"Answered {'; '.join(told)}."


def as_shipped() -> dict[str, str]:
    """What tests allow more of: how long an answer may take, and how much may be asked."""
    fields = GatewaySettings.model_fields
    return {name.upper(): str(fields[name].default) for name in AS_SHIPPED}


def prepared(stack: Stack, tenant: str) -> str:
    """With limits that the load does not reach, and a first run that has ended."""
    onboard(stack, tenant)
    save_text(stack, tenant, "ones", ONE_STEP)
    return timed(stack, "ones", tenant)[1]


async def loaded(stack: Stack, latest: dict[str, str], rate: float, seconds: float) -> Load:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        load = Load(stack, session, latest)
        await load.run(rate, seconds)
        return load


def figures_of(load: Load, rate: float, seconds: float) -> Sequence[Figure]:
    name = f"{rate:g} requests a second"
    failed = 100 * load.failed.total() / (rate * seconds)
    return [
        _slow(f"{name}: P50", load.rounds(), "P50"),
        _slow(f"{name}: P95", load.rounds(), "P95", P95_MS),
        _slow(f"{name}: P99", load.rounds(), "P99", P99_MS),
        Figure(f"{name}: failed", "%", [failed], aim=FAILED_PERCENT, more_is_better=False),
        *(_slow(f"… answered {how}: P95", load.rounds(how), "P95") for how in GROUPS),
    ]


def _slow(
    what: str, rounds: Sequence[Sequence[float]], part: str, aim: float | None = None
) -> Figure:
    found = [percentiles(took)[part] for took in rounds]
    return Figure(what, "ms", found, aim=aim, more_is_better=False)


if __name__ == "__main__":
    main()
