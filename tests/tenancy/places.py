"""Every place where something is said or kept, as one text each, to look for secrets in."""

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import quote, quote_plus

from libs.settings import ExecutorSettings
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from tests.stack import Stack, eventually
from tests.tenancy.ears import Ears
from tests.tenancy.flows import TENANT, Flows
from tests.tenancy.traces import TraceSink

PROJECT = os.environ.get("GCP_PROJECT_ID", "convergence-local")
SETTINGS = ExecutorSettings(gcp_project_id=PROJECT)
SERVICES = ("gateway", "tenant", "scheduler", "executor", "audit_log")
Place = Callable[[], str]
_FOR_URLS = str.maketrans("+/", "-_")


def places(flows: Flows, stack: Stack, ears: Ears, traces: TraceSink) -> dict[str, Place]:
    return {
        "answers": lambda: answers(flows),
        "logs": lambda: logs(stack),
        "messages": lambda: messages(ears, dead=False),
        "dead letters": lambda: messages(ears, dead=True),
        "rows": lambda: asyncio.run(rows(stack)),
        "objects": lambda: asyncio.run(objects(stack)),
        "traces": lambda: spans(traces),
        "files": lambda: files(stack),
    }


def answers(flows: Flows) -> str:
    assert len(flows.answers) > 60
    return json.dumps([[one.status, one.body, dict(one.headers)] for one in flows.answers])


def logs(stack: Stack) -> str:
    found = {path.stem: path.read_text() for path in (stack.state_dir / "logs").glob("*.log")}
    assert all(found.get(service) for service in SERVICES), sorted(found)
    return "\n".join(found.values())


def messages(ears: Ears, *, dead: bool) -> str:
    chosen = [one for one in ears.heard if ("dead-reason" in one.attributes) is dead]
    assert chosen
    return "\n".join(
        f"{dict(one.attributes)} {one.data.decode(errors='replace')}" for one in chosen
    )


async def rows(stack: Stack) -> str:
    rest = stack.ports()["bigquery"]["rest"]
    warehouse = Warehouse.connect(WarehouseSettings(PROJECT, endpoint=f"http://127.0.0.1:{rest}"))
    sql = "SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA"
    datasets = [row["schema_name"] for row in await warehouse.query(sql)]
    found = []
    for dataset in datasets:
        if dataset in {"tenants", "metadata"} or dataset.startswith(TENANT):
            for table in await warehouse.tables(dataset):
                kept = await warehouse.query(f"SELECT * FROM `{dataset}.{table}`")
                found.append(json.dumps(kept, default=str))
    await warehouse.close()
    assert len(found) > 10
    return "\n".join(found)


async def objects(stack: Stack) -> str:
    """The slot logs of all services, claims, ciphertexts, what runs work on, what was delivered."""
    address = f"http://127.0.0.1:{stack.ports()['storage']['http']}"
    found = []
    for name in (SETTINGS.bucket, SETTINGS.deliveries_bucket):
        bucket = Bucket(BucketSettings(PROJECT, name, address))
        for one in await bucket.names("", limit=10_000):
            found += [one, (await bucket.fetch(one) or b"").decode("latin-1")]
        await bucket.close()
    assert len(found) > 20
    return "\n".join(found)


def spans(traces: TraceSink) -> str:
    def something_came() -> bytes:
        assert b"/api/v1/tenants" in b"".join(traces.bodies)
        return b"".join(traces.bodies)

    return eventually(something_came).decode("latin-1")


def files(stack: Stack) -> str:
    """Slots, snapshots, ciphertexts, what waits in Pub/Sub: every file of the local cloud."""
    found = []
    for path in stack.state_dir.rglob("*"):
        with suppress(FileNotFoundError):  # some come and go
            found += [path.read_bytes()] if path.is_file() else []
    assert len(found) > 20
    return b"\n".join(found).decode("latin-1")


def forms(secret: str) -> list[str]:
    """A secret as it is, as JSON and URLs have it, and as base64 wherever it begins in a text."""
    escaped = json.dumps(secret)[1:-1]
    quoted = [quote(secret, safe=""), quote_plus(secret), quote(secret)]
    coded = [_inner_base64(secret.encode(), shift) for shift in range(3)]
    safe = [text.translate(_FOR_URLS) for text in coded]
    return list(dict.fromkeys((secret, escaped, json.dumps(escaped)[1:-1], *quoted, *coded, *safe)))


def _inner_base64(data: bytes, shift: int) -> str:
    """The letters that are the same whatever stands before and after."""
    text = b64encode(bytes(shift) + data).decode()
    return text[(0, 2, 3)[shift] : (shift + len(data)) * 8 // 6]


def found_in(text: str, secrets: Sequence[str]) -> list[str]:
    return [secret for secret in secrets if any(form in text for form in forms(secret))]
