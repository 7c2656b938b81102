"""What services gave up, as operators read it back."""

from collections.abc import Sequence
from datetime import timedelta

from contracts.audit import (
    PLATFORM,
    DeadLetterListV1,
    DeadLetterPart,
    EventListV1,
    ListDeadLettersV1,
    ListEventsV1,
    MessageAbandonedV1,
)
from contracts.identifiers import TenantId
from contracts.message import Service
from services.audit_log.domain import event_row
from services.audit_log.handlers import Handlers
from services.audit_log.page_bounds import PAGE_BYTES
from services.audit_log.store import Records
from tests.audit_log.recorder import START, Recorder, delivery

TENANT = TenantId("page_letters")


def given_up(number: int, type_: str = "letter.test.v1", reason: str = "no") -> MessageAbandonedV1:
    letter = DeadLetterPart(
        service=Service.TENANT,
        subscription="convergence-tenant-from-gateway-v1",
        message_type=type_,
        message_id=f"m-{number}",
        tenant_id=TENANT if number % 2 else None,
        reason=reason,
        error="PermanentError",
        attempt=1,
    )
    return MessageAbandonedV1(letter=letter)


def soon_after(recorder: Recorder, days: int = 1) -> Records:
    """As they are read some days after what the recorder tells of."""
    return Records(recorder.warehouse, lambda: START + timedelta(days=days))


async def read(recorder: Recorder, limit: int, type_: str) -> tuple[Sequence[str], int]:
    records, seen, pages, after = soon_after(recorder), list[str](), 0, ""
    while True:
        query = ListDeadLettersV1(message_type=type_, limit=limit, after=after)
        page, after = await records.dead_letters(query)
        seen, pages = seen + [letter.message_id for letter in page], pages + 1
        if not after:
            return seen, pages


async def test_they_come_newest_first_of_all_tenants_each_once(recorder: Recorder) -> None:
    await recorder.record_badly(*(given_up(number) for number in range(5)))
    seen, pages = await read(recorder, 2, "letter.test.v1")
    assert (seen, pages) == ([f"m-{number}" for number in (4, 3, 2, 1, 0)], 3)


async def test_they_are_chosen_by_service_type_and_time(recorder: Recorder) -> None:
    records, type_ = soon_after(recorder), "letter.chosen.v1"
    await recorder.record(given_up(1, type_), given_up(2, type_))
    (newest, oldest), _ = await records.dead_letters(ListDeadLettersV1(message_type=type_))
    assert newest.given_up_at - oldest.given_up_at == timedelta(seconds=1)

    async def found(**chosen: object) -> list[str]:
        query = ListDeadLettersV1.model_validate({"message_type": type_, **chosen})
        return [letter.message_id for letter in (await records.dead_letters(query))[0]]

    assert await found(service="tenant") == ["m-2", "m-1"]
    assert await found(service="executor") == []
    assert await found(from_time=newest.given_up_at) == ["m-2"]
    assert await found(to_time=newest.given_up_at) == ["m-1"]
    assert await found(message_type="letter.other.v1") == []


async def test_unless_asked_for_they_are_of_the_last_thirty_days(recorder: Recorder) -> None:
    type_ = "letter.old.v1"
    await recorder.record(given_up(1, type_))

    async def found(days: int, **chosen: object) -> int:
        query = ListDeadLettersV1.model_validate({"message_type": type_, **chosen})
        return len((await soon_after(recorder, days).dead_letters(query))[0])

    assert await found(29) == 1
    assert await found(31) == 0
    assert await found(31, to_time=START + timedelta(days=2)) == 1
    assert await found(31, from_time=START) == 1


async def test_what_was_recorded_before_is_not_even_read(recorder: Recorder) -> None:
    """The log is partitioned by when it was recorded: what a page reads is bounded by that."""
    type_, early = "letter.early.v1", START - timedelta(days=40)
    writer = Recorder(recorder.warehouse, Handlers(recorder.warehouse, lambda: early))
    await writer.record(given_up(1, type_))
    query = ListDeadLettersV1(message_type=type_)
    assert await soon_after(recorder).dead_letters(query) == ((), "")
    asked = query.model_copy(update={"from_time": early})
    assert len((await soon_after(recorder).dead_letters(asked))[0]) == 1


async def test_clocks_that_differ_a_little_hide_nothing(recorder: Recorder) -> None:
    type_, early = "letter.skewed.v1", START - timedelta(minutes=30)
    writer = Recorder(recorder.warehouse, Handlers(recorder.warehouse, lambda: early))
    await writer.record(given_up(1, type_))
    query = ListDeadLettersV1(message_type=type_, from_time=START)
    assert len((await soon_after(recorder).dead_letters(query))[0]) == 1


async def test_a_page_is_bounded_by_its_bytes(recorder: Recorder) -> None:
    long, type_ = "r" * (PAGE_BYTES // 3), "letter.long.v1"
    await recorder.record(*(given_up(number, type_, long) for number in range(4)))
    seen, pages = await read(recorder, 1000, type_)
    assert (seen, pages) == (["m-3", "m-2", "m-1", "m-0"], 2)


async def test_they_are_the_platforms_and_no_tenants(recorder: Recorder) -> None:
    await recorder.record(given_up(1, "letter.whose.v1"))
    records = Records(recorder.warehouse)
    asked = {"event_type": MessageAbandonedV1.wire_type, "limit": 1000}
    for whose, wanted in ((TENANT, 0), (PLATFORM, 1)):
        found = await records.events(ListEventsV1.model_validate({"tenant_id": whose, **asked}))
        assert isinstance(found, EventListV1)
        assert sum("letter.whose.v1" in event.data for event in found.events) == wanted


async def test_what_was_read_of_them_is_not_recorded_again(recorder: Recorder) -> None:
    await recorder.record(given_up(1, "letter.once.v1"))
    query = ListDeadLettersV1(message_type="letter.once.v1")
    letters, _ = await soon_after(recorder).dead_letters(query)
    reply = DeadLetterListV1(letters=letters)
    row = event_row(delivery(reply).envelope, reply, reply.encode(), START)
    assert "letter.once.v1" not in row["data"]
