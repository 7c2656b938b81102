"""Splits the body of a multipart/related upload into metadata and media."""

from email.message import Message
from email.parser import BytesParser
from typing import Any

from libs.local_cloud.storage_requests import RefusedError, parsed

_PARTS = 4  # before, metadata, media, after


def split(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    boundary = _headers(f"Content-Type: {content_type}".encode()).get_boundary()
    if not boundary:
        raise RefusedError(400, "invalid", "A multipart upload needs a boundary.")
    delimiter = b"--" + boundary.encode()
    parts = body.split(delimiter, 2)
    media, found, _ = parts[-1].rpartition(b"\r\n" + delimiter + b"--")
    if len(parts) + bool(found) < _PARTS:
        raise RefusedError(400, "invalid", "A multipart upload has two parts.")
    (_, metadata), (kind, content) = _content(parts[1]), _content(media)
    said = parsed(metadata)
    said.setdefault("contentType", kind)
    return said, content


def _content(part: bytes) -> tuple[str, bytes]:
    head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    return _headers(head).get("content-type", ""), content


def _headers(text: bytes) -> Message:
    return BytesParser().parsebytes(text + b"\r\n\r\n", headersonly=True)
