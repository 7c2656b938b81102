"""Logs: one JSON object a line, in the documented shape, with secrets masked.

Lines below WARNING are buffered and written every 100 ms, since a flush per
line costs more than the request it describes; WARNING and above, and the end
of the process, flush at once.
"""

import atexit
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple, TextIO

import orjson

from libs.telemetry.context import current

FLUSH_SECONDS = 0.1
BUFFER_LINES = 1000
# Anything that looks like a key of ours, a bearer token, or a PEM block.
SECRET = re.compile(
    r"(?P<kind>[a-z][a-z0-9_]{2,49}_api_|cvadm_|Bearer\s+"
    r"|(?<![A-Za-z0-9])sk-|sk-(?=[a-z_\-.]*[A-Z0-9])"  # inside a word only what no word can be
    r")[A-Za-z0-9_\-.]{16,}"
    r"|-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)",
    re.DOTALL,
)
REQUEST_FIELDS = ("tenant_id", "method", "path", "status_code", "duration_ms")


def written(text: str) -> str:
    """What can be written anywhere: bytes that are no text become `?`."""
    return text.encode(errors="replace").decode()


def mask(text: str) -> str:
    """Replace what looks like a secret by its kind and dots."""
    if not _may_hold_a_secret(text):
        return text
    return SECRET.sub(lambda match: f"{match.group('kind') or 'key '}…", text)


def _may_hold_a_secret(text: str) -> bool:
    """A look for what each kind begins with, which is much quicker than the whole search."""
    return (
        "sk-" in text
        or "_api_" in text
        or "Bearer" in text
        or "cvadm_" in text
        or "-----BEGIN " in text
    )


class Said(NamedTuple):
    """What a line is made of."""

    at: float
    level: int
    name: str
    msg: str
    given: Mapping[str, object]
    doing: Mapping[str, str]
    """What was worked on."""


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        extra = record.__dict__
        given = {field: extra[field] for field in REQUEST_FIELDS if field in extra}
        if record.exc_info:
            given["exception"] = self.formatException(record.exc_info)
        return self.line(
            Said(record.created, record.levelno, record.name, record.getMessage(), given, current())
        )

    def line(self, said: Said) -> str:
        line: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(said.at, UTC),
            "severity": logging.getLevelName(said.level),
            "name": said.name,
            "msg": said.msg,
            "service": self._service,
            **said.doing,
            **said.given,
        }
        text = _as_json(line)
        # One look at all of it: hardly any line has to be masked value by value.
        return _as_json(_masked(line)) if _may_hold_a_secret(text) else text


def _as_json(line: Mapping[str, object]) -> str:
    try:
        return orjson.dumps(line, default=str).decode()
    except TypeError:  # a text somewhere in it is none
        return written(json.dumps(line, default=_in_words, ensure_ascii=False))


def _in_words(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _masked(line: Mapping[str, object]) -> dict[str, object]:
    return {
        field: mask(value) if isinstance(value, str) else value for field, value in line.items()
    }


class BufferedHandler(logging.Handler):
    """Writes lines in batches. Thread-safe; loses nothing but on SIGKILL."""

    def __init__(self, stream: TextIO, formatter: JsonFormatter) -> None:
        super().__init__()
        self.formatter: JsonFormatter = formatter
        self._stream = stream
        self._lines: list[str | Said] = []
        self._timer: threading.Timer | None = None
        self._holding = self.lock or threading.RLock()
        atexit.register(self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        self.write(self.format(record), record.levelno)

    def write(self, line: str | Said, level: int) -> None:
        with self._holding:
            self._lines.append(line)
            if level >= logging.WARNING or len(self._lines) >= BUFFER_LINES:
                self.flush()
            elif self._timer is None:
                self._timer = threading.Timer(FLUSH_SECONDS, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        with self._holding:
            lines, self._lines, self._timer = self._lines, [], None
            if lines and not self._stream.closed:
                made = (x if isinstance(x, str) else self.formatter.line(x) for x in lines)
                self._stream.write("\n".join(made) + "\n")
                self._stream.flush()


def write(logger: logging.Logger, level: int, msg: str, given: Mapping[str, object]) -> None:
    """A line without a record in between, made together with those beside it.

    For what is written of every request: a record takes several times as long as all the
    rest, and a line made by itself twice as long. Elsewhere than in a service it is a record.
    """
    if not logger.isEnabledFor(level):
        return
    for handler in logging.root.handlers:
        if isinstance(handler, BufferedHandler):
            handler.write(Said(time.time(), level, logger.name, msg, given, current()), level)
            return
    logger.log(level, msg, extra=given)


def configure(service: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (standard error) as JSON."""
    handler = BufferedHandler(stream or sys.stderr, JsonFormatter(service))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for noisy in ("google", "urllib3", "grpc", "asyncio", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
