"""Pages of recorded messages: each ends before its bytes are too many for one reply.

What is read in pages is what had been recorded when the first was asked for:
reading is recorded too, so it would otherwise never come to an end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from contracts.audit import CLOCKS_DIFFER, EventListV1, EventOrder, ListEventsV1
from libs.clock import Clock, earlier
from services.audit_log.page_bounds import PAGE_BYTES, encoded_bytes, within_bytes
from services.audit_log.parts import event_part
from services.audit_log.reading import SHOWN, Conditions, Reader
from services.audit_log.run_days import RunDays

PIECE = 1_000_000
"""Characters of a message that is too long for one reply; each has 6 bytes at most."""
ASKED_BEFORE = timedelta(days=7)
"""A run may have been asked for so long before it was decided on: Pub/Sub keeps commands."""


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which row a page begins; with an offset, in the middle of that row's data."""

    first: str = ""
    second: str = ""
    begun: datetime | None = None
    offset: int = 0
    since: datetime | None = None
    """Where in the log all pages begin; None for those of everything."""

    @classmethod
    def read(cls, after: str) -> Self:
        """Cursors of older releases say no more than the row, or nothing of `since`."""
        first, second, begun, offset, since, *_ = [*after.split("|"), *[""] * 5]
        return cls(first, second, _moment(begun), int(offset or 0), _moment(since))

    def __str__(self) -> str:
        begun, since = (at.isoformat() if at else "" for at in (self.begun, self.since))
        return f"{self.first}|{self.second}|{begun}|{self.offset}|{since}"


class EventPages:
    """Of one tenant, in the order of time or of the hash chains."""

    def __init__(self, reader: Reader, days: RunDays, clock: Clock) -> None:
        self._reader = reader
        self._days = days
        self._clock = clock

    async def page(self, query: ListEventsV1) -> EventListV1:
        place = await self._place(query)
        in_chains = query.order is EventOrder.CHAIN
        order = "chain_id, chain_position" if in_chains else "event_time, event_id"
        rows = await self._reader.select(
            "event_log",
            query.tenant_id,
            _behind(_wanted(query, place), query.order, place),
            tail=f"ORDER BY {order} LIMIT {query.limit + 1}",
            around=within_bytes(order, "data"),
        )
        if not rows:
            return EventListV1(tenant_id=query.tenant_id, events=())
        if encoded_bytes(rows[0]["data"]) > PAGE_BYTES:
            return _piece(query, rows[0], place)
        page = rows[: query.limit]
        more = rows[0]["found"] > len(page)
        after = str(_place_of(page[-1], query.order, place)) if more else ""
        events = tuple(event_part(row) for row in page)
        return EventListV1(tenant_id=query.tenant_id, events=events, next_after=after)

    async def _place(self, query: ListEventsV1) -> Place:
        if query.after:
            place = Place.read(query.after)
            return replace(place, begun=place.begun or self._clock())
        begun = self._clock()
        return Place(begun=begun, since=await self._since(query, begun))

    async def _since(self, query: ListEventsV1, begun: datetime) -> datetime | None:
        """Of one run since it began; chains are whole unless it is said from when on."""
        if query.from_time:
            return earlier(query.from_time, CLOCKS_DIFFER)
        if query.run_id:
            began = await self._days.began(query.tenant_id, query.run_id)
            return earlier(began, ASKED_BEFORE)
        if query.order is EventOrder.CHAIN:
            return None
        return earlier(query.to_time or begun, SHOWN)


def _wanted(query: ListEventsV1, place: Place) -> Conditions:
    in_chains = query.order is EventOrder.CHAIN
    return (
        Conditions(once="" if in_chains else "event_id")
        .recorded_since(_recorded_since(query, place))
        .add("event_type = @event_type", event_type=query.event_type)
        .add("correlation_id = @correlation", correlation=query.correlation_id)
        .add("event_time >= @from_time", from_time=query.from_time)
        .add("event_time < @to_time", to_time=query.to_time)
        .add("run_id = @run_id", run_id=query.run_id)
        .add("kind = @kind", kind=query.event_kind and query.event_kind.value)
        .add("source = @source", source=query.source)
        .add("recorded_at <= @begun", begun=place.begun)
    )


def _recorded_since(query: ListEventsV1, place: Place) -> datetime | None:
    """Where what the page may hold begins in the log, which is partitioned by this.

    It ends where the log does: a replay records what is missing much later.
    """
    if query.order is EventOrder.CHAIN or not place.first:
        return place.since
    behind = earlier(datetime.fromisoformat(place.first), CLOCKS_DIFFER)
    return max(behind, place.since or behind)


def _behind(wanted: Conditions, order: EventOrder, place: Place) -> Conditions:
    beyond = ">=" if place.offset else ">"
    if order is EventOrder.CHAIN:
        position = place.second and int(place.second)
        return wanted.add("chain_id IS NOT NULL").add(
            f"(chain_id > @chain OR (chain_id = @chain AND chain_position {beyond} @position))",
            chain=place.first,
            position=position,
        )
    return wanted.add(
        f"(event_time > @at OR (event_time = @at AND event_id {beyond} @event))",
        at=place.first and datetime.fromisoformat(place.first),
        event=place.second,
    )


def _place_of(row: Mapping[str, Any], order: EventOrder, before: Place, offset: int = 0) -> Place:
    if order is EventOrder.CHAIN:
        first, second = row["chain_id"], str(row["chain_position"])
    else:
        first, second = row["event_time"].isoformat(), row["event_id"]
    return replace(before, first=first, second=second, offset=offset)


def _piece(query: ListEventsV1, row: Mapping[str, Any], place: Place) -> EventListV1:
    end = place.offset + PIECE
    continues = end < len(row["data"])
    more = continues or row["found"] > 1
    behind = _place_of(row, query.order, place, end if continues else 0)
    return EventListV1(
        tenant_id=query.tenant_id,
        events=(event_part({**row, "data": row["data"][place.offset : end]}),),
        next_after=str(behind) if more else "",
        continues=continues,
    )


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
