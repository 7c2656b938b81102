"""The parsers that strangers feed: whatever the bytes, they answer or refuse in their own words.

A target returns nothing, and whatever it raises is a fault: only the exceptions
that callers are promised are caught here.
"""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from pydantic import ValidationError

from contracts.catalogue import UnknownTypeError, entry_of
from contracts.envelope import EnvelopeError, open_envelope
from contracts.identifiers import ConfigId
from libs.web.body import parse_json
from libs.web.problem import Problem
from services.executor.steps.guard import check_select
from services.executor.steps.step import StepError
from services.gateway import keys
from services.gateway.api.pages import Cursors
from services.scheduler.definitions.nodes import DefinitionError
from services.scheduler.definitions.shapes import parse_definition
from tests.fuzz.files import FILES

Target = Callable[[bytes], None]
PUBLISHED = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = ConfigId("fuzzed")
PEPPER = b"pepper"
CURSORS = Cursors(b"secret")


def definition(data: bytes) -> None:
    """YAML of a pipeline, in either shape."""
    with suppress(DefinitionError):
        parse_definition(_text(data), CONFIG)


def sql(data: bytes) -> None:
    """The first wall around a tenant's SQL."""
    with suppress(StepError):
        check_select(_text(data), "project", ["acme"])


def api_key(data: bytes) -> None:
    """What stands in X-API-Key; a key that is taken for one is hashed and shown safely."""
    text = _text(data)
    found = keys.parse(text)
    if found is not None:
        assert found.text == text
        assert found.hash(PEPPER)
        assert text not in repr(found)


def body(data: bytes) -> None:
    """JSON bodies of requests."""
    with suppress(Problem, json.JSONDecodeError):
        parse_json(_text(data))


def cursor(data: bytes) -> None:
    """`next_cursor` as it comes back: only what was sealed for this list opens."""
    text = _text(data)
    with suppress(Problem):
        raise AssertionError(f"opened: {CURSORS.open('list', text)}")
    sealed = CURSORS.seal("list", text)
    assert CURSORS.open("list", sealed) == text
    with suppress(Problem):
        raise AssertionError(f"opened for another list: {CURSORS.open('other', sealed)}")


def envelope(data: bytes) -> None:
    """A Pub/Sub message: lines of `attribute: value`, an empty line, and the data."""
    head, _, payload = data.partition(b"\n\n")
    lines = (line.partition(": ") for line in _text(head).split("\n"))
    attributes = {name: value for name, _, value in lines}
    try:
        opened = open_envelope(attributes, message_id="1", publish_time=PUBLISHED)
        entry_of(opened.type).model.decode(payload)
    except (EnvelopeError, UnknownTypeError, ValidationError):
        return


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


TARGETS: dict[str, Target] = {
    target.__name__: target for target in (definition, sql, api_key, body, cursor, envelope, *FILES)
}

if __name__ == "__main__":
    sys.stdout.write("\n".join(TARGETS) + "\n")
