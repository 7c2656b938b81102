"""Declared sources against providers' own behaviour: pages, limits, crashes, bad answers."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from threading import get_ident
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from services.executor.ingest.api_source import ApiSource
from services.executor.ingest.asking import retry_after
from services.executor.ingest.deliveries import Deliveries
from services.executor.ingest.json_rows import Decoder
from services.executor.ingest.links import next_of
from services.executor.steps import ingest_api
from services.executor.steps.step import Credential, StepError, StepRetryError
from tests.ingest.clouds import AWS_KEYS, PRINCIPAL, serve_clouds
from tests.ingest.providers import ADMIN_KEY, DAY, Beyond, Provider, serve
from tests.ingest.surroundings import NOW, NUMBERS, Surroundings

SLICE = "2026-11"
START = 1793491200  # of November 2026, in seconds


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serve() as found:
        yield found


def openai(provider: Provider, **more: Any) -> dict[str, Any]:
    return {
        "base_url": f"{provider.url}/v1",
        "path": "/organization/costs",
        "auth": {"kind": "bearer", "credential": "openai"},
        "query": {
            "start_time": "{period.start_unix}",
            "end_time": "{period.end_unix}",
            "bucket_width": "1d",
            "group_by": ["project_id", "line_item"],
        },
        "pages": {"kind": "token", "parameter": "page", "next": "next_page"},
        "records": ["data", "results"],
        "inherit": ["start_time", "end_time"],
        "constant": {"organization_id": "org-1"},
        "requests_per_second": 100,
        "target_table": "${tenant_id}.raw_openai_costs",
        "slice": SLICE,
        **more,
    }


def with_key(around: Surroundings, **fields: str) -> None:
    around.credentials.known["openai"] = Credential("OPENAI", fields or {"api_key": ADMIN_KEY})


def items(provider: Provider, kind: str, pages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "base_url": provider.url,
        "path": f"/items/{kind}",
        "pages": pages,
        "requests_per_second": 100,
        "target_table": "${tenant_id}.items",
        "slice": SLICE,
        **more,
    }


async def test_a_month_is_read_page_by_page_and_becomes_focus(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around)
    done = await around.run("ingest.api", openai(provider))
    assert (done.rows, len(provider.asked)) == (24, 5)
    assert provider.asked[0].endswith("group_by=project_id&group_by=line_item")
    focus = {"mapping": "openai_costs", "source_table": "${tenant_id}.raw_openai_costs"}
    await around.run("cost.focus", {**focus, "slice": SLICE})
    (raw,) = await around.rows(
        "SELECT SUM(CAST(amount_value AS BIGNUMERIC)) AS c FROM $.raw_openai_costs"
    )
    (row,) = await around.rows(
        "SELECT SUM(BilledCost) AS c, COUNT(*) AS n, MIN(BillingAccountId) AS a,"
        " MIN(ChargePeriodStart) AS first FROM $.focus_costs"
    )
    assert (row["c"], row["n"], row["a"]) == (raw["c"], 24, "org-1")
    days = range(START // DAY, START // DAY + 30)
    assert row["c"] == sum(Decimal(day % 7) + Decimal("0.06") for day in days if day % 5)


@pytest.mark.parametrize("fault", [429, 500, 503, "truncated"])
async def test_what_passes_is_tried_again(
    around: Surroundings, provider: Provider, fault: int | str
) -> None:
    with_key(around)
    provider.faults.extend([fault, fault])
    assert (await around.run("ingest.api", openai(provider))).rows == 24
    assert len(provider.asked) == 7


async def test_a_slow_answer_is_given_up_and_tried_again(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around)
    provider.faults.append("slow")
    done = await around.run("ingest.api", openai(provider, timeout_seconds=0.3))
    assert done.rows == 24


async def test_a_source_that_stays_down_may_be_tried_later(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around)
    provider.faults.extend([429] * 10)
    with pytest.raises(StepRetryError, match="did not answer in 3 tries; last: it answered 429"):
        await around.run("ingest.api", openai(provider, attempts=3))


async def test_a_run_goes_on_from_the_last_page_it_kept(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around)
    config = openai(provider, attempts=1)
    given = around.given("ingest.api", config)
    provider.faults.extend([None, None, 500])
    step = around.types["ingest.api"]
    with pytest.raises(StepRetryError):
        await step.run(given)
    asked = len(provider.asked)
    assert (await step.run(given)).rows == 24
    assert len(provider.asked) - asked == 3
    assert provider.asked[asked].endswith("page=p_14")


async def test_a_wrong_key_is_said_and_never_shown(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around, api_key="sk-wrong-canary")
    with pytest.raises(StepError) as caught:
        await around.run("ingest.api", openai(provider))
    assert caught.value.code == "source_refused"
    assert "check the credential" in caught.value.detail
    assert "canary" not in str(caught.value)
    assert len(provider.asked) == 1


async def test_a_credential_without_the_field_is_said(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around, other="x")
    with pytest.raises(StepError, match="no field 'api_key'; it has other"):
        await around.run("ingest.api", openai(provider))


async def test_header_keys_and_iso_periods(around: Surroundings, provider: Provider) -> None:
    with_key(around)
    config = {
        **openai(provider),
        "path": "/organizations/cost_report",
        "auth": {"kind": "header", "credential": "openai", "header": "x-api-key"},
        "headers": {"anthropic-version": "2023-06-01"},
        "query": {"starting_at": "{period.start_iso}", "ending_at": "{period.end_iso}"},
        "inherit": ["starting_at", "ending_at"],
        "target_table": "${tenant_id}.raw_anthropic",
    }
    assert (await around.run("ingest.api", config)).rows == 2
    rows = await around.rows("SELECT amount, starting_at FROM $.raw_anthropic ORDER BY 2")
    assert [row["amount"] for row in rows] == ["123.4500", "123.4500"]
    assert rows[1]["starting_at"].startswith("2026-11-02T00:00:00")


@pytest.mark.parametrize(
    ("kind", "pages", "asked"),
    [
        ("page", {"kind": "page", "parameter": "p", "size": 4}, 4),
        ("offset", {"kind": "offset", "parameter": "skip", "size": 4}, 4),
        ("link", {"kind": "link"}, 3),
        ("none", {"kind": "none"}, 1),
    ],
)
async def test_every_way_to_page(
    around: Surroundings, provider: Provider, kind: str, pages: dict[str, Any], asked: int
) -> None:
    done = await around.run("ingest.api", items(provider, kind, pages))
    assert len(provider.asked) == asked
    assert done.rows == (4 if kind == "none" else 10)


def numbered(kind: str, size: int) -> dict[str, Any]:
    return {"kind": kind, "parameter": "p" if kind == "page" else "skip", "size": size}


async def ids(around: Surroundings) -> list[int]:
    return [int(row["id"]) for row in await around.rows("SELECT id FROM $.items ORDER BY x_row")]


@pytest.mark.parametrize("kind", ["page", "offset"])
@pytest.mark.parametrize("number", [0, 3, 4, 8, 9])
async def test_a_source_that_gives_less_than_it_is_asked_for_is_read_whole(
    around: Surroundings, provider: Provider, kind: str, number: int
) -> None:
    provider.number = number
    done = await around.run("ingest.api", items(provider, kind, numbered(kind, 1000)))
    assert done.rows == number
    assert len(provider.asked) == (number + 3) // 4 + 1
    if number:
        assert await ids(around) == list(range(number))


@pytest.mark.parametrize("kind", ["page", "offset"])
async def test_a_page_of_more_than_its_size_is_refused(
    around: Surroundings, provider: Provider, kind: str
) -> None:
    with pytest.raises(StepError, match=r"page 1: it has 4 records, more than the `size` of 3"):
        await around.run("ingest.api", items(provider, kind, numbered(kind, 3)))


@pytest.mark.parametrize("size", [4, 1000])
@pytest.mark.parametrize("beyond", ["missing", "last"])
async def test_behind_the_last_page_there_may_be_none_or_the_last_again(
    around: Surroundings, provider: Provider, beyond: Beyond, size: int
) -> None:
    provider.beyond = beyond
    done = await around.run("ingest.api", items(provider, "page", numbered("page", size)))
    assert done.rows == 10
    assert await ids(around) == list(range(10))


@pytest.mark.parametrize("parameter", ["p", "unknown"])
async def test_a_source_without_pages_is_read_once(
    around: Surroundings, provider: Provider, parameter: str
) -> None:
    provider.most, provider.beyond = 20, "last"
    pages = {**numbered("page", 50), "parameter": parameter}
    assert (await around.run("ingest.api", items(provider, "page", pages))).rows == 10


async def test_a_missing_page_behind_a_full_one_is_not_taken_for_the_end(
    around: Surroundings, provider: Provider
) -> None:
    provider.number, provider.beyond = 8, "missing"
    with pytest.raises(StepError, match="answered 404"):
        await around.run("ingest.api", items(provider, "page", numbered("page", 4)))


async def test_records_that_are_skipped_on_a_page_are_no_end_of_it(
    around: Surroundings, provider: Provider
) -> None:
    provider.hidden = frozenset({1, 6})
    done = await around.run("ingest.api", items(provider, "page", numbered("page", 4)))
    assert done.rows == 8
    assert await ids(around) == [0, 2, 3, 4, 5, 7, 8, 9]
    with pytest.raises(StepError, match=r"page 2: records of the page before stand in it again"):
        await around.run("ingest.api", items(provider, "offset", numbered("offset", 4)))


async def test_what_a_page_has_is_counted_before_lists_in_its_records(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around)
    provider.per_page = 7
    pages = {"kind": "offset", "parameter": "page", "size": 7}
    assert (await around.run("ingest.api", openai(provider, pages=pages))).rows == 24
    assert len(provider.asked) == 6


@pytest.mark.parametrize(("most", "fits"), [(2, False), (3, True)])
async def test_the_question_behind_the_last_page_is_not_one_page_too_many(
    around: Surroundings, provider: Provider, most: int, *, fits: bool
) -> None:
    config = items(provider, "page", numbered("page", 4), most_pages=most)
    if fits:
        assert (await around.run("ingest.api", config)).rows == 10
        return
    with pytest.raises(StepError, match=f"more than most_pages={most}"):
        await around.run("ingest.api", config)


async def test_a_token_is_fetched_and_fetched_anew(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around, client_id="me", client_secret=ADMIN_KEY)
    auth = {"kind": "oauth2", "credential": "openai", "token_url": f"{provider.url}/token"}
    config = items(provider, "oauth", {"kind": "none"}, auth=auth)
    assert (await around.run("ingest.api", config)).rows == 10
    provider.faults.extend([None, 401])
    assert (await around.run("ingest.api", config)).rows == 10
    assert provider.tokens == 3


async def test_the_same_answers_are_not_loaded_again(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around)
    for _ in range(2):
        assert (await around.run("ingest.api", openai(provider))).rows == 24
    assert around.heard.notes == ["the same files are loaded already"]


async def test_the_same_answers_read_in_another_way_are_loaded_again(
    around: Surroundings, provider: Provider
) -> None:
    provider.written = '[{"cost": "1.234", "on": "05/11/2026"}]'
    config = items(provider, "written", {"kind": "none"}, columns={"cost": "decimal", "on": "date"})
    ways: list[tuple[dict[str, Any], list[object]]] = [
        ({}, [Decimal("1.234"), date(2026, 5, 11)]),
        ({"decimal_comma": True}, [Decimal(1234), date(2026, 5, 11)]),
        ({"decimal_comma": True, "day_first": True}, [Decimal(1234), date(2026, 11, 5)]),
        ({"contract": "freeze"}, [Decimal("1.234"), date(2026, 5, 11)]),
    ]
    for way, values in ways:
        await around.run("ingest.api", {**config, **way})
        (row,) = await around.rows("SELECT cost, `on` FROM $.items")
        assert list(row.values()) == values
    assert not around.heard.notes
    await around.run("ingest.api", {**config, **ways[-1][0]})
    assert around.heard.notes == ["the same files are loaded already"]


async def test_records_that_are_to_be_kept_whole_are_loaded_again(
    around: Surroundings, provider: Provider
) -> None:
    provider.written = '[{"a": [1, {"b": true}]}]'
    for whole in ("", "item"):
        await around.run("ingest.api", items(provider, "written", {"kind": "none"}, whole=whole))
    (row,) = await around.rows("SELECT item FROM $.items")
    assert json.loads(row["item"]) == {"a": [1, {"b": True}]}


async def test_lists_in_records_stay_json(around: Surroundings, provider: Provider) -> None:
    written = '["a",{"k":true,"n":null,"é":"\\"","x":0.10}]'
    provider.written = f'[{{"id": 1, "tags": {written}, "of": {{"none": []}}}}]'
    await around.run("ingest.api", items(provider, "written", {"kind": "none"}))
    (row,) = await around.rows("SELECT tags, of_none FROM $.items")
    assert json.loads(row["tags"]) == json.loads(written)
    assert row["of_none"] == "[]"


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('{"error": "quota exceeded", "code": 7}', "an object with error, code: name in `records`"),
        ("{}", "an object with nothing in it"),
        ('"soon"', "should be a list of records but is str"),
    ],
)
async def test_an_answer_that_is_no_list_is_no_record(
    around: Surroundings, provider: Provider, written: str, problem: str
) -> None:
    provider.written = written
    with pytest.raises(StepError, match=problem):
        await around.run("ingest.api", items(provider, "written", {"kind": "none"}))


async def test_a_month_without_records_empties_its_slice(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around)
    await around.run("ingest.api", openai(provider))
    provider.days = 0
    assert (await around.run("ingest.api", openai(provider))).rows == 0
    (left,) = await around.rows("SELECT COUNT(*) AS n FROM $.raw_openai_costs")
    assert left["n"] == 0


async def test_records_that_are_not_there_are_said(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around)
    with pytest.raises(StepError, match=r"page 1: data\.rows should be a list of records"):
        await around.run("ingest.api", openai(provider, records=["data", "rows"]))


async def test_too_many_pages_are_refused(around: Surroundings, provider: Provider) -> None:
    with_key(around)
    with pytest.raises(StepError, match="more than most_pages=2"):
        await around.run("ingest.api", openai(provider, most_pages=2))


def test_a_source_with_a_wrong_word_is_refused() -> None:
    with pytest.raises(ValueError, match="pages"):
        TypeAdapter(ApiSource).validate_python({"base_url": "x", "pages": {"kind": "scroll"}})


@pytest.mark.parametrize(
    ("path", "auth", "fields"),
    [
        ("/aws/items", {"kind": "aws", "service": "ce"}, AWS_KEYS),
        ("/azure/items", {"kind": "azure"}, PRINCIPAL),
        ("/google/items", {"kind": "google"}, {}),
    ],
)
async def test_clouds_let_in_what_their_own_libraries_sign(
    around: Surroundings, path: str, auth: dict[str, Any], fields: dict[str, str]
) -> None:
    async with serve_clouds({}) as clouds:
        around.tools = replace(around.tools, azure_login=f"{clouds.url}/login")
        with_key(around, **(fields or clouds.service_account))
        config = {
            **items(clouds, "none", {"kind": "none"}, path=path),
            "auth": {**auth, "credential": "openai"},
            "query": {"a b": "c/d+é"},
        }
        assert (await around.run("ingest.api", config)).rows == 1
        with_key(around, wrong="x")
        with pytest.raises(StepError, match="credential"):
            await around.run("ingest.api", config)


async def test_numbers_of_an_answer_keep_every_digit(
    around: Surroundings, provider: Provider
) -> None:
    written = ["0.12345678901234567890123", "12345678901234567890123", "0.1", "9007199254740993"]
    provider.written = f'[{", ".join(f"""{{"at": {{"x": {each}}}}}""" for each in written)}]'
    await around.run("ingest.api", items(provider, "written", {"kind": "none"}))
    rows = await around.rows("SELECT at_x FROM $.items ORDER BY x_row")
    assert [row["at_x"] for row in rows] == written


async def test_answers_are_decoded_beside_what_else_is_done(
    around: Surroundings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 64 MB of many digits takes a minute."""
    decoded = set[int]()

    def loads(decoder: Decoder, text: bytes) -> Any:
        decoded.add(get_ident())
        return plain(decoder, text)

    plain = Decoder.loads
    monkeypatch.setattr(Decoder, "loads", loads)
    provider.written = '[{"id": 1}]'
    await around.run("ingest.api", items(provider, "written", {"kind": "none"}))
    assert decoded
    assert get_ident() not in decoded


async def test_records_whose_fields_are_called_as_the_platforms_own_are_refused(
    around: Surroundings, provider: Provider
) -> None:
    provider.written = '[{"id": 1}, {"id": 2, "x": {"row": 7}}]'
    problem = r"/items/written, page 1, column x\.row: this name is the platform's own"
    with pytest.raises(StepError, match=problem):
        await around.run("ingest.api", items(provider, "written", {"kind": "none"}))
    await around.run("ingest.api", items(provider, "written", {"kind": "none"}, whole="item"))
    rows = await around.rows("SELECT item, x_row FROM $.items ORDER BY x_row")
    assert [row["x_row"] for row in rows] == [0, 1]


def changed(provider: Provider, **more: Any) -> dict[str, Any]:
    """A source of records that change, and come late."""
    incremental = {"field": "at", "first": "2026-11-01T00:00:00Z", "look_back_days": 2}
    query = {"since": "{cursor.iso}"}
    said = {"incremental": incremental, "query": query, "slice": "all", **more}
    return items(provider, "changes", {"kind": "none"}, **said)


def november(day: int, value: str) -> dict[str, str]:
    return {"id": str(day), "at": f"2026-11-{day:02d}T10:00:00Z", "value": value}


async def test_a_load_reads_on_from_the_last_one_and_some_days_before(
    around: Surroundings, provider: Provider
) -> None:
    provider.changes = [november(day, "first") for day in (1, 5, 8, 9)]
    assert (await around.run("ingest.api", changed(provider))).rows == 4
    provider.changes = [
        november(1, "not asked for again"),
        november(5, "too late to be seen"),
        november(8, "changed"),
        november(7, "late"),
        november(12, "new"),
    ]
    assert (await around.run("ingest.api", changed(provider))).rows == 5
    assert [query.rpartition("since=")[2] for query in provider.asked] == [
        "2026-11-01T00:00:00Z",
        "2026-11-07T10:00:00Z",
    ]
    rows = await around.rows("SELECT id, value FROM $.items ORDER BY CAST(id AS INT64)")
    assert [(row["id"], row["value"]) for row in rows] == [
        ("1", "first"),
        ("5", "first"),
        ("7", "late"),
        ("8", "changed"),
        ("12", "new"),
    ]
    (loads,) = await around.rows("SELECT COUNT(DISTINCT x_load_id) AS n FROM $.items")
    assert loads["n"] == 1


async def test_a_step_that_is_tried_again_after_its_load_changes_nothing(
    around: Surroundings, provider: Provider
) -> None:
    provider.changes = [november(day, "first") for day in (1, 5, 9)]
    given = around.given("ingest.api", changed(provider))
    step = around.types["ingest.api"]
    assert [(await step.run(given)).rows for _ in range(2)] == [3, 3]
    assert around.heard.notes == ["the same files are loaded already"]


UP_TO_NOW = "records_are_dated_up_to_now"
FUTURE = {"id": "99", "at": "2099-01-01T00:00:00Z", "value": "of the future"}


async def test_a_record_of_the_future_stops_no_source(
    around: Surroundings, provider: Provider
) -> None:
    provider.changes = [november(2, "first"), FUTURE]
    await around.run("ingest.api", changed(provider))
    assert around.heard.checks == {UP_TO_NOW: "FAILED"}
    provider.changes = [november(2, "first"), november(5, "late"), FUTURE]
    assert (await around.run("ingest.api", changed(provider))).rows == 3
    provider.changes = [november(5, "late"), november(6, "new")]
    assert (await around.run("ingest.api", changed(provider))).rows == 3
    assert around.heard.checks == {UP_TO_NOW: "PASSED"}
    assert [query.rpartition("since=")[2] for query in provider.asked] == [
        "2026-11-01T00:00:00Z",
        "2026-10-31T10:00:00Z",
        "2026-11-03T10:00:00Z",
    ]
    rows = await around.rows("SELECT id FROM $.items ORDER BY `at`")
    assert [row["id"] for row in rows] == ["2", "5", "6"]


async def test_records_that_are_all_of_the_future_are_asked_for_again(
    around: Surroundings, provider: Provider
) -> None:
    soon = {**november(1, "soon"), "at": "2026-12-03T14:00:00"}
    provider.changes = [soon]
    for _ in range(2):
        assert (await around.run("ingest.api", changed(provider))).rows == 1
    assert around.heard.checks == {UP_TO_NOW: "PASSED"}
    asked = [query.rpartition("since=")[2] for query in provider.asked]
    assert asked == ["2026-11-01T00:00:00Z"] * 2


async def test_a_source_that_stopped_at_the_future_goes_on_from_what_is_there(
    around: Surroundings, provider: Provider
) -> None:
    provider.changes = [november(3, "first"), november(9, "first"), FUTURE]
    await around.run("ingest.api", changed(provider))
    place = (str(around.tenant), f"{around.tenant}.items", "all")
    deliveries = Deliveries(around.tools.data)
    stuck = await deliveries.delivered(*place)
    stuck = stuck.model_copy(update={"facts": {"cursor": "2099-01-01T00:00:00+00:00"}})
    await deliveries.commit(*place, stuck)
    provider.changes = [november(9, "first"), november(12, "new"), FUTURE]
    assert (await around.run("ingest.api", changed(provider))).rows == 4
    assert provider.asked[-1].endswith("since=2026-11-07T10:00:00Z")


async def test_numbers_that_were_read_in_another_style_are_not_read_on_from(
    around: Surroundings, provider: Provider
) -> None:
    declared = {"columns": {"value": "decimal"}}
    provider.changes = [november(3, "1.234"), november(9, "1.234")]
    await around.run("ingest.api", changed(provider, **declared))
    comma = {"decimal_comma": True}
    with pytest.raises(StepError, match=r"were read .*: name another `target_table`"):
        await around.run("ingest.api", changed(provider, **declared, **comma))
    more = {**declared, **comma, "target_table": "${tenant_id}.others"}
    assert (await around.run("ingest.api", changed(provider, **more))).rows == 2


async def test_a_record_without_its_time_is_said(around: Surroundings, provider: Provider) -> None:
    provider.changes = [{"id": "1", "at": "soon", "value": "x"}]
    with pytest.raises(StepError, match="a record's at is 'soon': a time was expected"):
        await around.run("ingest.api", changed(provider))
    with pytest.raises(StepError, match="does not go with incremental"):
        await around.run("ingest.api", changed(provider, contract="discard_row"))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"body": {"a": 1}}, "method: POST"),
        ({"pages": {"kind": "token", "in_body": True}}, "method: POST"),
        (
            {"whole": "r", "incremental": {"field": "at", "first": "2026-01-01T00:00:00Z"}},
            "does not go with `incremental`",
        ),
    ],
)
def test_what_cannot_be_asked_so_is_refused(said: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TypeAdapter(ApiSource).validate_python({"base_url": "https://example.com", **said})


@pytest.mark.parametrize(
    ("pages", "asked"),
    [
        (
            {"kind": "token", "parameter": "after", "next": "more", "in_body": True},
            [{"month": "2026-11", "size": 4}, {"after": "4"}, {"after": "8"}],
        ),
        (
            {"kind": "offset", "parameter": "skip", "size": 4, "in_body": True},
            [{"skip": 0}, {"skip": 4}, {"skip": 8}, {"skip": 10}],
        ),
        ({"kind": "link", "next": "@next"}, [{"size": 4}, {"size": 4}, {"size": 4}]),
    ],
    ids=["token", "offset", "link"],
)
async def test_pages_are_asked_for_by_what_is_posted(
    around: Surroundings, provider: Provider, pages: dict[str, Any], asked: list[dict[str, Any]]
) -> None:
    body = {"month": "{period.month}", "size": 4, "of": [{"tenant": "${tenant_id}"}]}
    said = items(provider, "posted", pages, path="/posted", records=["found"], whole="item")
    config = {**said, "method": "POST", "body": body, "slice": "2026-11"}
    provider.faults.extend([None, None, 400])
    run = next(NUMBERS)
    with pytest.raises(StepError, match="answered 400"):
        await around.run("ingest.api", config, run=run)
    assert (await around.run("ingest.api", config, run=run)).rows == 10
    # The one that failed was asked again; those before it were kept.
    assert len(provider.posted) == len(asked)
    for found, part in zip(provider.posted, asked, strict=True):
        assert found["of"] == [{"tenant": str(around.tenant)}]
        assert found["month"] == "2026-11"
        assert part.items() <= found.items()
    rows = await around.rows("SELECT item FROM $.items")
    assert {json.loads(row["item"])["of"]["id"] for row in rows} == set(range(10))


async def test_an_address_in_an_answer_leads_to_no_other_host(
    around: Surroundings, provider: Provider
) -> None:
    provider.elsewhere = "https://example.com/posted"
    said = items(provider, "posted", {"kind": "link", "next": "@next"}, path="/posted")
    config = {**said, "method": "POST", "body": {"size": 4}, "records": ["found"]}
    with pytest.raises(StepError, match="its next page is on another host"):
        await around.run("ingest.api", config)


@pytest.mark.parametrize("said", ["/posted", "posted", "HTTP://{host}/posted"])
async def test_an_address_in_an_answer_may_be_written_as_addresses_are(
    around: Surroundings, provider: Provider, said: str
) -> None:
    provider.elsewhere = said.format(host=provider.url.removeprefix("http://"))
    paged = items(provider, "posted", {"kind": "link", "next": "@next"}, path="/posted")
    config = {**paged, "method": "POST", "body": {"size": 4}, "records": ["found"]}
    assert (await around.run("ingest.api", config)).rows == 10


@pytest.mark.parametrize("said", ["http://[bad/posted", "//example.com/posted"])
async def test_an_address_that_is_none_or_elsewhere_is_refused(
    around: Surroundings, provider: Provider, said: str
) -> None:
    provider.link = f'<{said}>; rel="next"'
    with pytest.raises(StepError, match="page 1: its next page is"):
        await around.run("ingest.api", items(provider, "link", {"kind": "link"}))


async def test_a_next_page_that_is_no_address_is_refused(
    around: Surroundings, provider: Provider
) -> None:
    provider.written = '{"found": [{"id": 1}], "next": true}'
    pages = {"kind": "link", "next": "next"}
    with pytest.raises(StepError, match="page 1: its next page is no address"):
        await around.run("ingest.api", items(provider, "written", pages, records=["found"]))


async def test_a_header_may_hold_other_links_too(around: Surroundings, provider: Provider) -> None:
    provider.link = '</first>; rel="first"; title="a, <b>", <{}>; title="x; y"; REL = "last Next"'
    done = await around.run("ingest.api", items(provider, "link", {"kind": "link"}))
    assert (done.rows, len(provider.asked)) == (10, 3)


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        (['<u>; rel="next"'], "u"),
        (["<u>;rel=next"], "u"),
        (['<u>; title="a, b"; rel="next"'], "u"),
        (['<u>; title="a \\"; rel=prev"; rel="next"'], "u"),
        (['<u>; rel="last next"'], "u"),
        (['<u> ; rel = "next" ;'], "u"),
        (["<u>; REL=NEXT"], "u"),
        (['<p>; rel="prev", <u,v;w>; rel="next"; x'], "u,v;w"),
        (["<p>; rel=prev", "<u>; rel=next"], "u"),
        (["<p>; rel=prev,, <u>; rel=next, <v>; rel=next"], "u"),
        (['<p>; title="<u>; rel=next"'], ""),
        (["<p>; rel=prev; rel=next"], ""),
        (["<p>; rel=nextish"], ""),
        (["<p>"], ""),
        (["next"], ""),
        ([], ""),
    ],
)
def test_the_next_page_stands_in_a_header(headers: list[str], address: str) -> None:
    assert next_of(headers) == address


async def test_the_region_of_a_signature_is_that_of_the_address(around: Surroundings) -> None:
    async with serve_clouds({}) as clouds:
        with_key(around, **{**AWS_KEYS, "region": "us-east-2"})
        auth = {"kind": "aws", "service": "ce", "credential": "openai"}
        config = {
            **items(clouds, "none", {"kind": "none"}, path="/items"),
            "base_url": f"{clouds.url}/{{region}}",
            "auth": {**auth, "region": "${parameters.region}"},
        }
        with pytest.raises(StepError, match="404"):
            await around.run("ingest.api", config, region="eu-west-1")
        assert clouds.asked == ["/eu-west-1/items"]


def keyed(provider: Provider) -> dict[str, Any]:
    said = changed(provider)
    return {**said, "incremental": {**said["incremental"], "key": ["id"]}}


@pytest.mark.parametrize("columns", [{}, {"id": "int"}], ids=["as they are", "declared"])
async def test_a_record_whose_time_has_moved_stands_once_where_a_key_names_it(
    around: Surroundings, provider: Provider, columns: dict[str, str]
) -> None:
    config = {**keyed(provider), "columns": columns}
    provider.changes = [november(day, "first") for day in (1, 5, 9)]
    assert (await around.run("ingest.api", config)).rows == 3
    moved = {**november(12, "moved"), "id": "1"}
    between = {**november(11, "between"), "id": "1"}
    provider.changes = [november(9, "first"), moved, between, november(10, "new")]
    assert (await around.run("ingest.api", config)).rows == 4
    rows = await around.rows("SELECT id, value FROM $.items ORDER BY CAST(id AS INT64)")
    assert [(str(row["id"]), row["value"]) for row in rows] == [
        ("1", "moved"),
        ("5", "first"),
        ("9", "first"),
        ("10", "new"),
    ]


async def test_a_record_without_its_key_is_said(around: Surroundings, provider: Provider) -> None:
    provider.changes = [{"at": "2026-11-01T10:00:00Z", "value": "x"}]
    with pytest.raises(StepError, match="a record's id is 'None': something that names it"):
        await around.run("ingest.api", keyed(provider))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "300"}, 300),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        (
            {
                "retry-after": "Sun, 22 Nov 2026 10:05:00 GMT",
                "date": "Sun, 22 Nov 2026 10:00:00 GMT",
            },
            300,
        ),
        ({"retry-after": "Thu, 03 Dec 2026 04:06:06 GMT"}, 60),
        ({"retry-after": "Sun, 22 Nov 2026 10:05:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "Thu, 03 Dec 2026 04:06:06 +99999999999999999999"}, None),
        ({"retry-after": "Thu, 03 Dec 20261203202612032026 04:06:06 GMT"}, None),
        ({}, None),
    ],
)
def test_a_source_says_when_it_wants_to_be_asked_again(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, lambda: NOW) == seconds


async def test_a_wait_of_minutes_is_kept_in_full(
    around: Surroundings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("services.executor.ingest.asking.asyncio", SimpleNamespace(sleep=sleep))
    with_key(around)
    provider.faults.append("in 300 s")
    assert (await around.run("ingest.api", openai(provider))).rows == 24
    assert slept == [300]


async def test_a_wait_that_the_step_has_no_time_for_is_not_begun(
    around: Surroundings, provider: Provider
) -> None:
    with_key(around)
    provider.faults.append("in 7200 s")
    with pytest.raises(StepRetryError, match=r"in 1 try; .* 429, and wants to be asked in 7200 s"):
        await around.run("ingest.api", openai(provider))
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (f'[{{"id": {"[" * 300}{"]" * 300}}}]', "page 1: lists and objects lie too deep"),
        ('[{"a": ' + '{"a": ' * 990 + "1" + "}" * 991 + "]", "page 1: lists and objects lie"),
        (
            orjson.dumps([{f"k{number}": 1 for number in range(10_001)}]).decode(),
            "/items/written, page 1: no table has more than 10,000 columns",
        ),
    ],
    ids=["deep lists", "deep objects", "many fields"],
)
async def test_records_that_no_table_can_hold_are_refused(
    around: Surroundings, provider: Provider, written: str, problem: str
) -> None:
    provider.written = written
    with pytest.raises(StepError, match=problem):
        await around.run("ingest.api", items(provider, "written", {"kind": "none"}))


async def test_records_that_have_little_in_common_are_made_columns_in_smaller_lots(
    around: Surroundings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_api, "CELLS", 100)
    provider.written = orjson.dumps([{f"k{number % 20}": 1} for number in range(50)]).decode()
    await around.run("ingest.api", items(provider, "written", {"kind": "none"}))
    (row,) = await around.rows("SELECT COUNT(*) AS n, COUNT(k0) AS k, MAX(x_row) AS x FROM $.items")
    assert row == {"n": 50, "k": 3, "x": 49}
