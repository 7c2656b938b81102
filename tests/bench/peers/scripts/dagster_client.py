"""`python dagster_client.py ADDRESS JOB ROUNDS`: launches runs, waits, prints milliseconds."""

import json
import sys
import time
from typing import Any
from urllib.request import Request, urlopen

POLL = 0.1
LAUNCH = """\
mutation ($job: String!) {
  launchRun(executionParams: {selector: {
    repositoryLocationName: "dagster_jobs.py", repositoryName: "__repository__", jobName: $job
  }}) { __typename ... on LaunchRunSuccess { run { id } } }
}"""
STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
GOING = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED"}


def ask(query: str, **variables: str) -> Any:
    data = json.dumps({"query": query, "variables": variables}).encode()
    headers = {"content-type": "application/json"}
    request = Request(f"{sys.argv[1]}/graphql", data, headers)  # noqa: S310  our own address
    with urlopen(request, timeout=30) as answer:  # noqa: S310  the same
        return json.load(answer)["data"]


def run(job: str) -> None:
    launched = ask(LAUNCH, job=job)["launchRun"]
    if "run" not in launched:
        raise SystemExit(f"it was not launched: {launched}")
    status = "QUEUED"
    while status in GOING:
        time.sleep(POLL)
        status = ask(STATUS, run=launched["run"]["id"])["runOrError"]["status"]
    if status != "SUCCESS":
        raise SystemExit(f"it ended otherwise: {status}")


if __name__ == "__main__":
    for _ in range(int(sys.argv[3])):
        started = time.perf_counter()
        run(sys.argv[2])
        print("took", (time.perf_counter() - started) * 1000, flush=True)
