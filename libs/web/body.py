"""Reading what requests say into models and text; what does not fit becomes a problem."""

import json
import re
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from libs.telemetry.logs import written
from libs.web.problem import Fault, Problem, invalid

Model = TypeVar("Model", bound=BaseModel)
MAX_DEPTH = 50
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")


def parse_model(text: str, model: type[Model]) -> Model:
    """Parse a JSON body; an empty one is `{}`. Unknown fields are refused by the model.

    Types are JSON's own: a number is no text and a text no number.
    """
    text = text or "{}"
    if _needs_a_look(text):
        parse_json(text)
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        parse_json(text)  # what is no JSON at all is said with its place
        raise invalid(error) from None


def _needs_a_look(text: str) -> bool:
    """Whether it may be JSON that the model's own parser takes and we do not."""
    deep = text.count("{") + text.count("[") > MAX_DEPTH
    return deep or "NaN" in text or "Infinity" in text


def at_hand(request: web.Request) -> bytes:
    """The body, if all of it has come, as it mostly has; otherwise nothing: `read()` has it.

    That has a loop and a buffer for what comes in parts, which take several times as long.
    """
    content = request.content
    if not content.is_eof() or content.at_eof() or content.total_bytes > request.client_max_size:
        return b""
    return content.read_nowait()


def text_of(data: bytes) -> str:
    """Raises `Problem`."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Problem(
            400,
            "invalid_encoding",
            f"The body is not UTF-8: byte {error.start} cannot be decoded.",
        ) from None


def said(request: web.Request, header: str) -> str:
    """A header as text that can be written anywhere; bytes that are no UTF-8 become `?`."""
    return written(request.headers.get(header, ""))


def parse_json(text: str) -> object:
    """Parse JSON of bounded depth; raises `JSONDecodeError` or `Problem`."""
    if _brackets_left_open(text) > MAX_DEPTH:
        raise _too_deep()
    found = json.loads(text, parse_constant=_no_number)
    if _is_deeper(found, MAX_DEPTH):
        raise _too_deep()
    return found


def _brackets_left_open(text: str) -> int:
    """Beyond the first levels, closed or not. Without recursion, at whose end all else breaks."""
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace("[]", "").replace("{}", "")
    return brackets.count("[") + brackets.count("{")


def _no_number(text: str) -> None:
    detail = f"{text} is not a number in JSON"
    raise Problem(400, "invalid_json", detail, [Fault("", detail)])


def _too_deep() -> Problem:
    return Problem(400, "too_deep", f"The body is nested more than {MAX_DEPTH} levels deep.")


def _is_deeper(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if depth == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_is_deeper(item, depth - 1) for item in inner)
