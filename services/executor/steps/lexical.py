"""Where a query's quotes and comments begin and end, read a second time.

Whoever reads them otherwise than BigQuery does sees another query. So they are read
here by BigQuery's own rules, and a query that the parser's tokens show otherwise is
refused: in quotes of every kind, also raw ones, a backslash takes the next character
with it, and comments do not nest.
"""

import re
from collections.abc import Iterator, Sequence

from sqlglot import Token

_PIECE = re.compile(
    r"""(?P<comment>--[^\r\n]*|\#[^\r\n]*|/\*.*?\*/)
    |(?P<quoted>
        (?:[rR][bB]?|[bB][rR]?)?
        (?:'''(?:\\.|(?!''').)*'''|\"\"\"(?:\\.|(?!\"\"\").)*\"\"\"
        |'(?!'')(?:\\.|[^'\\\n])*'|"(?!"")(?:\\.|[^"\\\n])*")
        |`(?:\\.|[^`\\\n])*`)
    |(?P<word>\w+)|(?P<blank>[ \t\n\f\v]+)|(?P<sign>[^'"`])""",
    re.DOTALL | re.VERBOSE,
)
_QUOTES = "'\"`"
Span = tuple[int, int]


class TwoReadingsError(ValueError):
    """Carries the offset where the readings part."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"it can be read in two ways from offset {offset}")
        self.offset = offset


def check_one_reading(sql: str, tokens: Sequence[Token]) -> None:
    """Raises `TwoReadingsError` unless the tokens are what BigQuery would see too."""
    theirs = [(token.start, token.end + 1) for token in tokens]
    quoted = [span for span in theirs if sql[span[1] - 1] in _QUOTES]
    pieces = list(_pieces(sql))
    ours = [span for kind, span in pieces if kind == "quoted"]
    for one, other in zip(quoted, ours, strict=False):
        if one != other:
            raise TwoReadingsError(min(one[0], other[0]))
    if len(quoted) != len(ours):
        raise TwoReadingsError([*quoted, *ours][-1][0])
    seen = bytearray(len(sql))
    for start, end in theirs:
        seen[start:end] = b"\1" * (end - start)
    for kind, (start, end) in pieces:
        if kind != "blank" and any(seen[start:end]) is (kind == "comment"):
            raise TwoReadingsError(start)


def texts_of(sql: str) -> list[Span]:
    """Where its string literals are; none when it cannot be read."""
    try:
        quoted = [span for kind, span in _pieces(sql) if kind == "quoted"]
    except TwoReadingsError:
        return []
    return [(start, end) for start, end in quoted if sql[start] != "`"]


def _pieces(sql: str) -> Iterator[tuple[str, Span]]:
    """A carriage return alone ends no line, and a quote that does not end is no quote."""
    place = 0
    while place < len(sql):
        if sql.startswith("\r\n", place):
            place += 2
            continue
        found = _PIECE.match(sql, place)
        if found is None or "\r" in found.group().replace("\r\n", ""):
            raise TwoReadingsError(place)
        yield str(found.lastgroup), found.span()
        place = found.end()
