"""Tampering with what was recorded is found offline, and named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.audit import EventOrder, ListEventsV1
from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.tenants import TenantResumedV1
from convergence.cli.main import app
from services.audit_log import verify
from services.audit_log.chain import VERSION_2, Chains, hash_of
from services.audit_log.domain import event_row
from services.audit_log.store import Records
from tests.audit_log.recorder import START, Recorder, delivery

Row = dict[str, Any]
Lines = list[Row]
OLD = Path(__file__).parent / "chain_of_version_1.ndjson"


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


def _of_another_run(rows: Lines) -> None:
    rows[4]["run_id"] = "00000000-0000-4000-8000-000000000009"


def _of_an_older_version(rows: Lines) -> None:
    """Said to be of a chain whose hashes do not cover the run."""
    _of_another_run(rows)
    rows[4]["chain_id"] = rows[4]["chain_id"].removesuffix(VERSION_2)


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
        (_of_another_run, 5, "content"),
        (_removed, 6, "missing"),
        (_swapped, 6, "missing"),
        (_forged, 5, "content"),
    ],
    ids=["changed", "backdated", "of another run", "removed", "swapped", "forged"],
)
def test_the_first_broken_link_is_named(
    tamper: Callable[[Lines], None], position: int, reason: str
) -> None:
    rows = exported(Chains("w"), "acme", 10)
    tamper(rows)
    where = rf"chain w\.1/2, position {position},.*{reason}"
    with pytest.raises(verify.BrokenLinkError, match=where):
        verify.verify(as_text(rows))


def test_a_row_cannot_be_passed_off_as_one_of_before_runs_were_hashed() -> None:
    rows = exported(Chains("w"), "acme", 10)
    _of_an_older_version(rows)
    with pytest.raises(verify.BrokenLinkError, match=r"chain w\.1, position 5,.*content"):
        verify.verify(as_text(rows))


def test_rows_of_before_runs_were_hashed_still_verify() -> None:
    verdict = verify.verify(OLD.read_text().splitlines())
    assert (verdict.rows, list(verdict.heads)) == (2, ["w.1"])
    changed = OLD.read_text().replace("09:01:00", "09:02:00")
    with pytest.raises(verify.BrokenLinkError, match=r"position 2.*content"):
        verify.verify(changed.splitlines())


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
    assert verdict.heads["w.1/2"].position == 5


def test_what_was_cut_off_or_rewritten_is_found_by_an_earlier_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export, heads = tmp_path / "export.ndjson", tmp_path / "heads.json"
    rows = exported(Chains("w"), "acme", 5)
    export.write_text("\n".join(as_text(rows)))
    assert verify.main([str(export), "--heads", str(heads)]) == 0
    assert "whole: 5 rows in 1 chains" in capsys.readouterr().out
    export.write_text("\n".join(as_text(rows[:3])))
    for _ in range(2):  # what is missing is not forgotten, though the note is to be made anew
        both = ["--expect", str(heads), "--heads", str(heads)]
        assert verify.main([str(export), *both]) == 1
        assert "ends at 3; it had come to 5" in capsys.readouterr().out
    export.write_text("\n".join(as_text(exported(Chains("w"), "acme", 5))))
    assert verify.main([str(export), "--expect", str(heads)]) == 1
    assert "not the row that was noted" in capsys.readouterr().out


def test_the_command_line_finds_what_was_cut_off(tmp_path: Path) -> None:
    export, heads = tmp_path / "export.ndjson", tmp_path / "heads.json"
    rows = exported(Chains("w"), "acme", 5)
    export.write_text("\n".join(as_text(rows)))
    verifying = ["audit", "verify", str(export), "--heads", str(heads)]
    assert "5 rows in 1 chains, unbroken" in CliRunner().invoke(app, verifying).stdout
    export.write_text("\n".join(as_text(rows[:3])))
    for _ in range(2):
        found = CliRunner().invoke(app, [*verifying, "--expect", str(heads)])
        assert (found.exit_code, "ends at 3; it had come to 5" in found.stderr) == (1, True)


@pytest.mark.parametrize("note", ["", "[]", '{"w.1": 3}', '{"w.1": ["x", "y"]}'])
def test_what_is_no_note_of_heads_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], note: str
) -> None:
    export, heads = tmp_path / "export.ndjson", tmp_path / "heads.json"
    export.write_text("\n".join(as_text(exported(Chains("w"), "acme", 2))))
    heads.write_text(note)
    assert verify.main([str(export), "--expect", str(heads)]) == verify.NOT_AN_EXPORT
    assert "not a note of heads" in capsys.readouterr().err


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
        found = await Records(recorder.warehouse).events(query)
        lines += [row.model_dump_json() for row in found.events]
        after = found.next_after
        if not after:
            break
    verdict = verify.verify(lines)
    assert (verdict.rows, len(verdict.heads)) == (12, 1)
    sql = "UPDATE `convergence-local.tenants.event_log` SET source = 'x' WHERE event_id = @id"
    await recorder.warehouse.query(sql, {"id": json.loads(lines[6])["event_id"]})
    query = ListEventsV1(tenant_id=tenant, order=EventOrder.CHAIN, limit=100)
    page = (await Records(recorder.warehouse).events(query)).events
    with pytest.raises(verify.BrokenLinkError, match=r"line 7: .* position 7"):
        verify.verify(row.model_dump_json() for row in page)
