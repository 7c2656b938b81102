"""Loads two versions of a bill in turn until it is killed: `python -m tests.ingest.loader JSON`."""

import asyncio
import itertools
import json
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from contracts.identifiers import TenantId
from tests.ingest.surroundings import Surroundings, surroundings_at

RAW = {"target_table": "${tenant_id}.raw_aws", "slice": "2026-11"}
FOCUS = {"mapping": "aws_cur", "source_table": "${tenant_id}.raw_aws", "slice": "2026-11"}


async def load(around: Surroundings, version: str) -> None:
    """By runs of their own: a job of another process must not be taken for ours."""
    raw, focus = (uuid4().int % 10**12 for _ in range(2))
    await around.run("ingest.file", {**RAW, "files": f"bill-{version}.csv"}, run=raw)
    await around.run("cost.focus", FOCUS, run=focus)


async def main(said: dict[str, Any]) -> None:
    tenant = TenantId(said["tenant"])
    around = await surroundings_at(said["ports"], Path(said["landing"]), tenant)
    sys.stdout.write("loading\n")
    sys.stdout.flush()
    for version in itertools.cycle(("new", "old")):
        await load(around, version)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
