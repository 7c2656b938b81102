"""Forty light steps and ten heavy ones, by us and by others, from asking to knowing it ended."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.bench.bench_executor import HEAVY_STEPS, STEPS, TENANT, chain, onboard, save, timed
from tests.bench.figures import Figure, Findings
from tests.bench.peers.peer import answered, running, told, tool
from tests.stack import Stack, free_port

ROUNDS = 5
LIGHT = f"{STEPS} light steps one after another"
SLOW = f"{HEAVY_STEPS} heavy steps"
OVER_PREFECT, OVER_CALLED, OVER_AIRFLOW, OVER_CELERY, OVER_DAGSTER = 35, 7, 250, 0.5, 1
DAGSTER = "Dagster dev, in-process executor, launched by GraphQL, not queued"
# A run that is queued waits for its daemon, which looks every five seconds.
NOT_QUEUED = """\
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""
OFTEN, SELDOM = "Prefect served, 1 s polling", "Prefect served, 10 s polling, its default"

Rounds = tuple[list[float], list[float]]
"""Milliseconds of light steps, and of heavy ones."""


def measured(folder: Path) -> Findings:
    light, heavy = ours(folder)
    celery, celery_heavy = by_celery(folder)
    dagster, dagster_heavy = by_dagster(folder)
    (often, often_heavy), (seldom, seldom_heavy), called = by_prefect(folder)
    airflow, airflow_heavy = by_airflow(folder)
    figures = [
        _beside(LIGHT, light, "Airflow standalone", airflow, OVER_AIRFLOW),
        _beside(LIGHT, light, DAGSTER, dagster, OVER_DAGSTER),
        _beside(LIGHT, light, OFTEN, often, OVER_PREFECT),
        _beside(LIGHT, light, SELDOM, seldom, OVER_PREFECT),
        _beside(LIGHT, light, "Prefect called in its process", called, OVER_CALLED),
        _beside(LIGHT, light, "a bare chain of Celery and Redis", celery, OVER_CELERY),
        _beside(SLOW, heavy, "Airflow standalone", airflow_heavy),
        _beside(SLOW, heavy, DAGSTER, dagster_heavy, OVER_DAGSTER),
        _beside(SLOW, heavy, OFTEN, often_heavy),
        _beside(SLOW, heavy, SELDOM, seldom_heavy),
        _beside(SLOW, heavy, "a bare chain of Celery and Redis", celery_heavy),
    ]
    return Findings("orchestration-beside-peers", figures)


def _beside(
    what: str, rounds: list[float], peer: str, beside: list[float], aim: float | None = None
) -> Figure:
    return Figure(what, "ms", rounds, peer, beside, aim, more_is_better=False)


def ours(folder: Path) -> Rounds:
    stack = Stack(folder / "ours", module="tests.bench.platform").start()
    try:
        onboard(stack, TENANT)
        save(stack, TENANT, "light", chain(STEPS, "bench.light"))
        save(stack, TENANT, "heavy", chain(HEAVY_STEPS, "bench.heavy"))
        timed(stack, "light")
        light = [timed(stack, "light")[0] for _ in range(ROUNDS)]
        heavy = [timed(stack, "heavy")[0] for _ in range(2)]
    finally:
        stack.stop()
    return light, heavy


def by_celery(folder: Path) -> Rounds:
    redis = shutil.which("redis-server")
    if not redis:
        raise SystemExit("the bare chain needs Redis: install your system's redis-server")
    port = free_port()
    env = {"REDIS": f"redis://127.0.0.1:{port}/0"}
    server = [redis, "--port", str(port), "--save", "", "--appendonly", "no"]
    python = tool("celery")
    worker = [python, "-m", "celery", "-A", "celery_chain", "worker", "--concurrency", "2"]
    with running(server, {}, folder / "redis"), running(worker, env, folder / "celery"):
        told([python, "celery_chain.py", "light", "1"], env)
        light = told([python, "celery_chain.py", "light", str(ROUNDS)], env)
        return light, told([python, "celery_chain.py", "heavy", "2"], env)


def by_dagster(folder: Path) -> Rounds:
    port = free_port()
    home = folder / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(NOT_QUEUED)
    env = {"DAGSTER_HOME": str(home)}
    dev = [tool("dagster", "dagster"), "dev", "-f", "dagster_jobs.py", "--host", "127.0.0.1"]
    client = [tool("dagster"), "dagster_client.py", f"http://127.0.0.1:{port}"]
    with running([*dev, "--port", str(port)], env, folder / "dagster.log"):
        answered(f"http://127.0.0.1:{port}/server_info")
        told([*client, "light", "1"], env)
        light = told([*client, "light", str(ROUNDS)], env)
        return light, told([*client, "heavy", "2"], env)


def by_prefect(folder: Path) -> tuple[Rounds, Rounds, list[float]]:
    """Served and polling every second; served as it comes; called in its process."""
    port = free_port()
    env = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
    server = [tool("prefect", "prefect"), "server", "start", "--port", str(port)]
    with running(server, env, folder / "prefect.log"):
        answered(f"{env['PREFECT_API_URL']}/health")
        often = _served({**env, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}, folder, ROUNDS, 2)
        seldom = _served(env, folder, 2, 1)
        called = told([tool("prefect"), "prefect_flows.py", "here", "light", str(ROUNDS)], env)
    return often, seldom, called


def _served(env: Mapping[str, str], folder: Path, light: int, heavy: int) -> Rounds:
    flows = [tool("prefect"), "prefect_flows.py"]
    with running([*flows, "serve"], env, folder / "flows.log"):
        answered(f"{env['PREFECT_API_URL']}/deployments/name/heavy/heavy")
        told([*flows, "trigger", "light", "1"], env)
        lights = told([*flows, "trigger", "light", str(light)], env)
        return lights, told([*flows, "trigger", "heavy", str(heavy)], env)


def by_airflow(folder: Path) -> Rounds:
    with _airflow(folder) as (python, address):
        light = told([python, "airflow_client.py", address, "light", "2"], {})
        return light, told([python, "airflow_client.py", address, "heavy", "1"], {})


@contextmanager
def _airflow(folder: Path) -> Iterator[tuple[str, str]]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    program = Path(tool("airflow", "airflow"))
    env = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "scripts"),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # It starts its own parts by name.
        "PATH": f"{program.parent}:/usr/bin:/bin",
    }
    with running([str(program), "standalone"], env, folder / "airflow.log"):
        answered(f"{address}/api/v2/dags/light")
        yield tool("airflow"), address
