"""A log line can always be written, whatever text stands in what it is about."""

import json
import logging
from io import StringIO

import pytest

from libs.telemetry import logs
from libs.telemetry.logs import JsonFormatter

LOG = logging.getLogger("of.requests")


def line(message: str, **extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"msg": message, "levelno": logging.ERROR, **extra})
    found: dict[str, object] = json.loads(JsonFormatter("gateway").format(record))
    return found


def test_a_line_is_one_object() -> None:
    assert (
        line("one\ntwo", tenant_id="acme").items()
        >= {
            "msg": "one\ntwo",
            "tenant_id": "acme",
            "severity": "ERROR",
            "service": "gateway",
        }.items()
    )


def test_bytes_that_are_no_text_cost_a_sign_and_not_the_line() -> None:
    assert line("bad \udcff header", path="/\udcfe")["msg"] == "bad ? header"


def test_a_line_without_a_record_is_what_one_with_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    stream = StringIO()
    logs.configure("gateway", "INFO", stream)
    given = {"path": f"/acme_api_{'a1B2' * 12}z/\udcfe", "status_code": 202}
    logs.write(LOG, logging.INFO, f"GET \udcfe {given['path']}", given)
    LOG.info("GET \udcfe %s", given["path"], extra=given)
    logs.write(LOG, logging.DEBUG, "not asked for", {})
    logging.getLogger().handlers[0].flush()
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    del first["timestamp"], second["timestamp"]
    assert first == second
    assert (first["msg"], first["path"]) == ("GET ? /acme_api_…/?", "/acme_api_…/?")


def test_outside_of_a_service_it_is_a_record(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(logging.getLogger(), "handlers", [caplog.handler])
    logs.write(LOG, logging.INFO, "GET /", {"path": "/"})
    assert caplog.messages == ["GET /"]
