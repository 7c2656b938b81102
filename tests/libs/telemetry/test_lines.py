"""A log line can always be written, whatever text stands in what it is about."""

import json
import logging

from libs.telemetry.logs import JsonFormatter


def line(message: str, **extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"msg": message, "levelname": "ERROR", **extra})
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
