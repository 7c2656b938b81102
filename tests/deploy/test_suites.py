"""The suites against a real platform, and against a server that gets everything wrong."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from xml.etree import ElementTree as ET

import pytest

from deploy.suites import __main__ as command
from deploy.suites.checks import CHECKS, PRODUCTION, World, run
from deploy.suites.client import Client
from tests.stack import ADMIN_KEY, Stack

BUSY = ("--slack", "10")


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_API_KEY", ADMIN_KEY)


def parsed(report: Path) -> ET.Element:
    return ET.fromstring(report.read_text())  # noqa: S314  our own


@contextmanager
def liar() -> Iterator[tuple[str, list[str]]]:
    """Says 200 and nonsense to everything, and remembers what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(self.command)
            data = json.dumps({"status": "fine", "paths": {"/odd": {"get": {}}}}).encode()
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _do  # noqa: N815  the library's names
        do_OPTIONS = do_TRACE = _do  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing: the test's own output is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_local_suite_passes_on_the_platform_and_says_so_in_junit(
    stack: Stack, key: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "local.xml"
    url = f"http://127.0.0.1:{stack.port}"
    assert command.main(["local", "--url", url, "--junit", str(report), *BUSY]) == 0, (
        capsys.readouterr().out
    )
    root = parsed(report)
    cases = root.findall("testcase")
    assert len(cases) == int(root.get("tests", "0")) == len(CHECKS)
    assert root.get("failures") == "0"
    groups = {str(case.get("classname")).rpartition(".")[2] for case in cases}
    assert groups == {check.group for check in CHECKS}


def test_the_production_suite_passes_without_a_key(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADMIN_API_KEY", raising=False)
    assert command.main(["production", "--url", f"http://127.0.0.1:{stack.port}", *BUSY]) == 0


def test_the_production_suite_only_looks() -> None:
    with liar() as (url, asked):
        list(run(PRODUCTION, World(Client(url))))
    assert asked
    assert set(asked) <= {"GET", "OPTIONS", "TRACE"}


def test_no_check_passes_on_a_server_that_gets_everything_wrong() -> None:
    with liar() as (url, _):
        results = list(run("local", World(Client(url, "k"), "https://app.example.com", 10)))
    passed = [r.check.name for r in results if r.outcome == "passed"]
    assert passed == ["ninety five of a hundred answers are quick"]
    skipped = {r.check.group for r in results if r.outcome == "skipped"}
    assert skipped == {"kms", "tls"}  # not https, and it offers no credentials


def test_a_failure_is_an_exit_code_and_a_junit_failure(tmp_path: Path) -> None:
    report = tmp_path / "r.xml"
    with liar() as (url, _):
        assert command.main(["production", "--url", url, "--junit", str(report)]) == command.FAILED
    assert parsed(report).findall("testcase/failure")


def test_suites_that_make_tenants_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADMIN_API_KEY", raising=False)
    assert command.main(["staging"]) == command.NO_KEY
