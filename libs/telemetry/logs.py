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
from datetime import UTC, datetime
from typing import TextIO

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


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "severity": record.levelname,
            "name": record.name,
            "msg": mask(record.getMessage()),
            "service": self._service,
            **current(),
        }
        for field in REQUEST_FIELDS:
            if (value := record.__dict__.get(field)) is not None:
                line[field] = mask(value) if isinstance(value, str) else value
        if record.exc_info:
            line["exception"] = mask(self.formatException(record.exc_info))
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a text somewhere in it is none
            return written(json.dumps(line, default=str, ensure_ascii=False))


class BufferedHandler(logging.Handler):
    """Writes lines in batches. Thread-safe; loses nothing but on SIGKILL."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._timer: threading.Timer | None = None
        atexit.register(self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))
        if record.levelno >= logging.WARNING or len(self._lines) >= BUFFER_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = threading.Timer(FLUSH_SECONDS, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def flush(self) -> None:
        with self.lock or threading.RLock():
            lines, self._lines, self._timer = self._lines, [], None
            if lines and not self._stream.closed:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()


def configure(service: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (standard error) as JSON."""
    handler = BufferedHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for noisy in ("google", "urllib3", "grpc", "asyncio", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
