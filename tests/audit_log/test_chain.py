"""Tampering with what was recorded is found offline, and named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.audit import EventOrder, ListEventsV1
from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.tenants import TenantResumedV1
from services.audit_log import verify
from services.audit_log.chain import Chains, hash_of
from services.audit_log.domain import event_row
from services.audit_log.store import Records
from tests.audit_log.recorder import START, Recorder, delivery

Row = dict[str, Any]
Lines = list[Row]


def said(tenant: str, by: str = "ann") -> Message:
    return TenantResumedV1(tenant_id=TenantId(tenant), requested_by=by)


def exported(chains: Chains, tenant: str, count: int) -> Lines:
    rows = []
    for number in range(count):
        one = delivery(said(tenant, f"user-{number}"), sequence=number)
        rows.append(event_row(one.envelope, one.message, one.received.data, START))
    chains.link(rows)
    return [json.loads(json.dumps(row, default=lambda at: at.isoformat())) for row in rows]


def as_text(rows: Lines) -> list[str]:
    return [json.dumps(row) for row in rows]


def _changed(rows: Lines) -> None:
    rows[4]["data"] = rows[4]["data"].replace("user-4", "user-9")


def _backdated(rows: Lines) -> None:
    rows[4]["event_time"] = "2020-01-01T00:00:00+00:00"


def _removed(rows: Lines) -> None:
    del rows[4]


def _swapped(rows: Lines) -> None:
    rows[4], rows[5] = rows[5], rows[4]


def _forged(rows: Lines) -> None:
    """A row of another chain, whole in itself, put in place of one."""
    (other,) = exported(Chains("other"), "acme", 1)
    rows[4] = {**other, "chain_id": rows[4]["chain_id"], "chain_position": 5}
    rows[4]["row_hash"] = hash_of({**rows[4], **dict.fromkeys(("previous_hash",))})


@pytest.mark.parametrize(
    ("tamper", "position", "reason"),
    [
        (_changed, 5, "content"),
        (_backdated, 5, "content"),
        (_removed, 6, "missing"),
        (_swapped, 6, "missing"),
        (_forged, 5, "content"),
    ],
    ids=["changed", "backdated", "removed", "swapped", "forged"],
)
def test_the_first_broken_link_is_named(
    tamper: Callable[[Lines], None], position: int, reason: str
) -> None:
    rows = exported(Chains("w"), "acme", 10)
    tamper(rows)
    where = rf"chain w\.1, position {position},.*{reason}"
    with pytest.raises(verify.BrokenLinkError, match=where):
        verify.verify(as_text(rows))


def test_a_row_that_fits_itself_but_not_its_place_is_found() -> None:
    rows = exported(Chains("w"), "acme", 10)
    rows[4]["data"] = "{}"
    rows[4]["row_hash"] = hash_of({**rows[4], **_times(rows[4])})
    with pytest.raises(verify.BrokenLinkError, match=r"position 6.*follow"):
        verify.verify(as_text(rows))


def _times(row: Row) -> Row:
    return {name: START for name in verify.TIMES if row[name]}


def test_chains_of_several_tenants_and_repeated_appends_are_whole() -> None:
    chains = Chains("w")
    rows = [*exported(chains, "acme", 3), *exported(chains, "beta_inc", 2)]
    again = exported(chains, "acme", 2)
    verdict = verify.verify(as_text([*rows[:3], rows[2], *again, again[1], *rows[3:]]))
    assert (verdict.rows, len(verdict.heads)) == (7, 2)
    assert verdict.heads["w.1"].position == 5


def test_what_was_cut_off_or_rewritten_is_found_by_an_earlier_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export, heads = tmp_path / "export.ndjson", tmp_path / "heads.json"
    rows = exported(Chains("w"), "acme", 5)
    export.write_text("\n".join(as_text(rows)))
    assert verify.main([str(export), "--heads", str(heads)]) == 0
    assert "whole: 5 rows in 1 chains" in capsys.readouterr().out
    export.write_text("\n".join(as_text(rows[:3])))
    assert verify.main([str(export), "--expect", str(heads)]) == 1
    assert "ends at 3; it had come to 5" in capsys.readouterr().out
    export.write_text("\n".join(as_text(exported(Chains("w"), "acme", 5))))
    assert verify.main([str(export), "--expect", str(heads)]) == 1
    assert "not the row that was noted" in capsys.readouterr().out


@pytest.mark.parametrize("line", ["nonsense", "[]", "{}", '{"event_time": "x"}'])
def test_what_is_no_export_is_said_to_be_none(line: str) -> None:
    with pytest.raises(verify.NotAnExportError, match="line 1"):
        verify.verify([line])


async def test_what_is_recorded_verifies_page_by_page(recorder: Recorder) -> None:
    tenant = TenantId("chain_tenant")
    for batch in range(3):
        await recorder.record(*(said(tenant, f"é-{batch}-{n}") for n in range(4)))
    lines, after = [], ""
    while True:
        query = ListEventsV1(tenant_id=tenant, order=EventOrder.CHAIN, after=after, limit=5)
        page, after = await Records(recorder.warehouse).events(query)
        lines += [row.model_dump_json() for row in page]
        if not after:
            break
    verdict = verify.verify(lines)
    assert (verdict.rows, len(verdict.heads)) == (12, 1)
    sql = "UPDATE `convergence-local.tenants.event_log` SET source = 'x' WHERE event_id = @id"
    await recorder.warehouse.query(sql, {"id": json.loads(lines[6])["event_id"]})
    query = ListEventsV1(tenant_id=tenant, order=EventOrder.CHAIN, limit=100)
    page, _ = await Records(recorder.warehouse).events(query)
    with pytest.raises(verify.BrokenLinkError, match=r"line 7: .* position 7"):
        verify.verify(row.model_dump_json() for row in page)


async def test_a_failed_append_ends_the_chain(recorder: Recorder) -> None:
    """Nobody knows whether its rows were written, so nothing may follow from them."""
    chains = Chains("w")
    first = exported(chains, "acme", 2)
    chains.end()
    then = exported(chains, "acme", 2)
    assert verify.verify(as_text([*first[:1], *then])).rows == 3
