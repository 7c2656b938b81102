"""Reads the slot log, what was heard, the warehouse and the effects, and counts broken promises."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from contracts.envelope import Wire
from libs.slotlog.log import Record
from libs.warehouse.warehouse import Warehouse
from tests.faults.checker import Finding
from tests.soak.book import Book
from tests.soak.collector import Collector
from tests.soak.trouble import GIVES_UP
from tests.soak.workload import Tenant

SHOWN = 5
PAGE = 500
LEDGERS = "scheduler/"
Streams = dict[str, list[tuple[int, Record]]]


class Objects(Protocol):
    """The bucket of the slot log."""

    async def fetch(self, name: str) -> bytes | None: ...

    async def names(self, prefix: str, start: str = "", limit: int = 1000) -> list[str]: ...


async def check_all(
    tenants: list[Tenant],
    heard: Collector,
    poisoned: list[str],
    objects: Objects,
    warehouse: Warehouse,
) -> list[Finding]:
    records, others = await _streams(objects, "scheduler"), await _streams(objects, "tenant")
    books = {stream: Book.of(found) for stream, found in records.items()}
    return [
        *_requests(tenants, books),
        *_slots({**records, **others}),
        *_ledgers(books),
        *_published({**records, **others}, heard),
        *await _recorded(heard, warehouse),
        *await _runs(tenants, warehouse),
        await _effects(tenants, warehouse),
        _dead_letters(heard, poisoned),
    ]


def _requests(tenants: list[Tenant], ledgers: dict[str, Book]) -> Iterator[Finding]:
    """Together with what is said of limits: accepted = min(demand, limit) on each day."""
    books = {t.name: ledgers[f"{LEDGERS}{t.name}"] for t in tenants}
    yield Finding(
        "every request is accepted or refused, as the ledger says",
        sum(t.demand for t in tenants),
        tuple(
            f"{t.name}: {len(t.accepted)} accepted and {t.refused} refused of {t.demand};"
            f" in the ledger {sum(book.days.values())} and {book.refused}"
            for t, book in ((t, books[t.name]) for t in tenants)
            if (len(t.accepted), t.refused) != (sum(book.days.values()), book.refused)
            or len(t.accepted) + t.refused != t.demand
        ),
    )
    yield Finding(
        "no request is refused while a limit has room",
        sum(book.refused for book in books.values()),
        tuple(f"{name}: {early}" for name, book in books.items() for early in book.early),
    )
    yield Finding(
        "every accepted run ends",
        sum(len(t.accepted) for t in tenants),
        tuple(run for t in tenants for run in t.accepted if run not in t.ended),
    )
    yield Finding(
        "a run ends as its definition says",
        sum(len(t.ended) for t in tenants),
        tuple(
            f"{run} of {t.accepted[run]}: {status}"
            for t in tenants
            for run, status in t.ended.items()
            if status not in _expected(t, run)
        ),
    )


def _expected(tenant: Tenant, run: str) -> set[str]:
    own = "COMPLETED" if tenant.accepted[run] == "ledger" else "FAILED"
    return {own, "CANCELLED"} if run in tenant.cancelled else {own}


def _slots(streams: Streams) -> Iterator[Finding]:
    yield Finding(
        "slots follow each other without a gap",
        sum(map(len, streams.values())),
        tuple(
            name
            for name, found in streams.items()
            if [slot for slot, _ in found] != list(range(1, len(found) + 1))
        ),
    )
    causes = {
        name: Counter(entry.cause for _, record in found for entry in record.entries)
        for name, found in streams.items()
    }
    yield Finding(
        "each input is decided once",
        sum(counts.total() for counts in causes.values()),
        tuple(
            f"{name}: {cause} {times} times"
            for name, counts in causes.items()
            for cause, times in counts.items()
            if times > 1
        ),
    )


def _ledgers(books: dict[str, Book]) -> Iterator[Finding]:
    yield Finding(
        "no limit is exceeded at any slot",
        sum(book.slots for book in books.values()),
        tuple(f"{name} {what}" for name, book in books.items() for what in book.over),
    )
    yield Finding(
        "no slot or place in the queue is left over",
        len(books),
        tuple(f"{name}: {run}" for name, book in books.items() for run in book.left),
    )


def _published(streams: Streams, heard: Collector) -> Iterator[Finding]:
    decided = [
        wire.attributes["ce-id"]
        for found in streams.values()
        for wire in _emitted(record for _, record in found)
    ]
    missing = tuple(id_ for id_ in decided if id_ not in heard.heard)
    yield Finding("what was decided was published", len(decided), missing)


def _emitted(records: Iterable[Record]) -> Iterator[Wire]:
    return (wire for record in records for entry in record.entries for wire in entry.emits)


async def _recorded(heard: Collector, warehouse: Warehouse) -> Iterator[Finding]:
    rows = await warehouse.query("SELECT event_id, COUNT(*) AS n FROM tenants.events GROUP BY 1")
    counts = {row["event_id"]: row["n"] for row in rows}
    return iter(
        (
            Finding(
                "what was published is an event row",
                len(heard.recorded),
                tuple(
                    f"{id_}: {what}" for id_, what in heard.recorded.items() if id_ not in counts
                ),
            ),
            Finding(
                "no event row is doubled",
                len(counts),
                tuple(f"{id_}: {n} times" for id_, n in counts.items() if n > 1),
            ),
        )
    )


async def _runs(tenants: list[Tenant], warehouse: Warehouse) -> Iterator[Finding]:
    ends = await warehouse.query(
        "SELECT JSON_VALUE(data, '$.run_id') AS run_id, COUNT(*) AS n FROM tenants.events"
        " WHERE event_type = 'run.finished.v1' GROUP BY 1"
    )
    counts = {row["run_id"]: row["n"] for row in ends}
    rows = await warehouse.query("SELECT run_id, status FROM tenants.tenant_pipeline_runs")
    shown = {row["run_id"]: row["status"] for row in rows}
    ended = {run: status for t in tenants for run, status in t.ended.items()}
    return iter(
        (
            Finding(
                "a run ends exactly once",
                len(ended),
                tuple(f"{run}: {counts.get(run, 0)}" for run in ended if counts.get(run) != 1),
            ),
            Finding(
                "the view of runs says what the API says",
                len(ended),
                tuple(
                    f"{run}: {status} and {shown.get(run)}"
                    for run, status in ended.items()
                    if shown.get(run) != status
                ),
            ),
        )
    )


async def _effects(tenants: list[Tenant], warehouse: Warehouse) -> Finding:
    wrong, checked = [], 0
    for tenant in tenants:
        wanted = {
            run
            for run, pipeline in tenant.accepted.items()
            if pipeline == "ledger" and tenant.ended.get(run) == "COMPLETED"
        }
        rows = await warehouse.query(
            f"SELECT run_id, COUNT(*) AS n FROM {tenant.name}.effects GROUP BY 1"
        )
        counts = {row["run_id"]: row["n"] for row in rows}
        checked += len(wanted)
        wrong += [f"{run}: {counts.get(run, 0)} rows" for run in wanted if counts.get(run) != 1]
        wrong += [f"{run}: {n} rows" for run, n in counts.items() if run not in wanted and n > 1]
    return Finding("a completed run has its effect once", checked, tuple(wrong))


def _dead_letters(heard: Collector, poisoned: list[str]) -> Finding:
    buried = {id_ for id_, _, by in (one.partition(" ") for one in heard.dead) if _is_owner(by)}
    wrong = [f"{id_} was not buried" for id_ in poisoned if id_ not in buried]
    wrong += [f"{one} was buried without a reason" for one, why in heard.reasons.items() if not why]
    wrong += [
        f"{one} was buried and is no poison: {heard.reasons[one]}"
        for one in heard.dead
        if not one.startswith("poison-")
    ]
    return Finding(
        "poison, and only poison, is a dead letter with a reason", len(poisoned), tuple(wrong)
    )


def _is_owner(subscription: str) -> bool:
    return any(service in subscription for service in GIVES_UP)


async def _streams(objects: Objects, service: str) -> Streams:
    """Every slot that there is: the services' own reading ends where one is missing."""
    found: Streams = {}
    names = await objects.names(f"ledger/{service}/", limit=sys.maxsize)
    for first in range(0, len(names), PAGE):
        page = names[first : first + PAGE]
        bodies = await asyncio.gather(*map(objects.fetch, page))
        for name, body in zip(page, bodies, strict=True):
            stream, _, slot = name.removeprefix("ledger/").removesuffix(".json").rpartition("/")
            if body is not None:
                found.setdefault(stream, []).append((int(slot), Record.decode(body)))
    return found
