"""Pub/Sub's filter language, as predicates over a message's attributes."""

import re
import sys
from collections.abc import Callable, Mapping

import grpc

from libs.local_cloud.rpc import RpcError

Predicate = Callable[[Mapping[str, str]], bool]
LONGEST = 256
_TOKEN = re.compile(
    r"""\s*(?:(?P<logic>AND|OR|NOT)(?![\w-])|(?P<call>hasPrefix)(?![\w-])
    |(?P<root>attributes)(?![\w-])|(?P<mark>!=|[.:(),=-])
    |"(?P<text>(?:[^"\\]|\\.)*)"|(?P<name>\w[\w-]*))""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(
    r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)
_NON_PRINTING = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
Token = tuple[str, str]
_END: Token = ("end", "")


def compile_filter(source: str) -> Predicate:
    """Parse a filter; raises INVALID_ARGUMENT as the real service does."""
    if len(source.encode()) > LONGEST:
        raise _invalid(f"longer than {LONGEST} bytes")
    return _Parser(_tokens(source)).whole()


def _invalid(reason: str) -> RpcError:
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, f"Invalid filter: {reason}.")


def _tokens(source: str) -> list[Token]:
    found: list[Token] = []
    position, source = 0, source.rstrip()
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            raise _invalid(f"unexpected character at {position}")
        found.append((match.lastgroup, _ESCAPE.sub(_unescape, match.group(match.lastgroup))))
        position = match.end()
    return found


def _unescape(match: re.Match[str]) -> str:
    *hexadecimal, octal, plain = match.groups()
    if plain is not None:
        return _NON_PRINTING.get(plain, plain)
    code = int(octal, 8) if octal else int(next(filter(None, hexadecimal)), 16)
    if code > sys.maxunicode:
        raise _invalid(f"{match.group()} is no character")
    return chr(code)


class _Parser:
    """Recursive descent. AND and OR may not be mixed without parentheses."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0

    def whole(self) -> Predicate:
        found = self._expression()
        if self._peek() != _END:
            raise _invalid(f"unexpected {self._peek()[1]!r}")
        return found

    def _peek(self) -> Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else _END

    def _next(self, *kinds: str, text: str | None = None) -> str:
        kind, found = self._peek()
        if kind not in kinds or (text is not None and found != text):
            raise _invalid(f"expected {text or ' or '.join(kinds)}, found {found!r}")
        self._position += 1
        return found

    def _expression(self) -> Predicate:
        terms = [self._term()]
        operator = self._peek()[1] if self._peek()[0] == "logic" else ""
        while self._peek() in {("logic", "AND"), ("logic", "OR")}:
            if self._next("logic") != operator:
                raise _invalid("AND and OR need parentheses when mixed")
            terms.append(self._term())
        if len(terms) == 1:
            return terms[0]
        combine = all if operator == "AND" else any
        return lambda attributes: combine(term(attributes) for term in terms)

    def _term(self) -> Predicate:
        if self._peek() in {("logic", "NOT"), ("mark", "-")}:
            self._position += 1
            inner = self._term()
            return lambda attributes: not inner(attributes)
        if self._peek() == ("mark", "("):
            self._position += 1
            inner = self._expression()
            self._next("mark", text=")")
            return inner
        return self._prefix() if self._peek()[0] == "call" else self._comparison()

    def _prefix(self) -> Predicate:
        self._next("call")
        self._next("mark", text="(")
        self._next("root")
        self._next("mark", text=".")
        name = self._next("name", "text", "root", "call")
        self._next("mark", text=",")
        value = self._next("text")
        self._next("mark", text=")")
        return lambda attributes: attributes.get(name, "").startswith(value) and name in attributes

    def _comparison(self) -> Predicate:
        self._next("root")
        if self._next("mark") == ":":
            name = self._next("name", "text", "root", "call")
            return lambda attributes: name in attributes
        name = self._next("name", "text", "root", "call")
        operator = self._next("mark")
        value = self._next("text")
        if operator == "=":
            return lambda attributes: attributes.get(name) == value
        if operator == "!=":
            return lambda attributes: attributes.get(name) != value
        raise _invalid(f"unknown comparison {operator!r}")
