"""What `Link` headers say, in the grammar of RFC 8288: commas and semicolons may be quoted."""

import re
from collections.abc import Iterable

_VALUE = r'"((?:[^"\\]|\\.)*)"|([^\s;,"]*)'
_PARAMETER = rf'\s*;\s*(?:([^\s=;,"<>]+)\s*(?:=\s*(?:{_VALUE}))?)?'
_PARAMETERS = re.compile(_PARAMETER)
_LINK = re.compile(rf"<([^<>]*)>((?:{_PARAMETER})*)")


def next_of(headers: Iterable[str]) -> str:
    """The address of the page after this one; empty where none is said."""
    for header in headers:
        for link in _LINK.finditer(header):
            if "next" in _relations(link[2]):
                return link[1].strip()
    return ""


def _relations(parameters: str) -> list[str]:
    """The first `rel` counts alone; case matters nowhere."""
    for name, quoted, bare in _PARAMETERS.findall(parameters):
        if name.lower() == "rel":
            return str(quoted or bare).lower().split()
    return []
