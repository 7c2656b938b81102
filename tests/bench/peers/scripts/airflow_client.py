"""`python airflow_client.py ADDRESS DAG ROUNDS`: asks for runs, waits, prints milliseconds."""

import json
import sys
import time
from typing import Any
from urllib.request import Request, urlopen

POLL = 0.2


def call(path: str, token: str = "", body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    request = Request(f"{sys.argv[1]}{path}", data, headers)  # noqa: S310  our own address
    with urlopen(request, timeout=30) as answer:  # noqa: S310  the same
        return json.load(answer)


def run(dag: str, token: str) -> None:
    runs = f"/api/v2/dags/{dag}/dagRuns"
    name = call(runs, token, {"logical_date": None})["dag_run_id"]
    state = "queued"
    while state in {"queued", "running"}:
        time.sleep(POLL)
        state = call(f"{runs}/{name}", token)["state"]
    if state != "success":
        raise SystemExit(f"it ended otherwise: {state}")


if __name__ == "__main__":
    mine = call("/auth/token")["access_token"]
    for _ in range(int(sys.argv[3])):
        started = time.perf_counter()
        run(sys.argv[2], mine)
        print("took", (time.perf_counter() - started) * 1000, flush=True)
