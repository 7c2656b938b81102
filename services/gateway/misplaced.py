"""A key that stands anywhere but in its header ends the request, before anything is made of it.

What a request says is published, recorded and shown; a key must not be among it,
whatever it is stuck to and however its characters are escaped.
"""

import re

from libs.web.problem import Fault, Problem
from services.gateway import keys

MOST_LOOKALIKES = 100
"""Each costs a look; who sends more wants to keep us busy."""
_LONGEST_TENANT = 50
_ENDS = re.compile(r"_api_[0-9A-Za-z]{49}")
_OPERATORS = re.compile(r"cvadm_[0-9A-Za-z_-]{20,}")
# As JSON and YAML write a plain character, perhaps quoted more than once.
_ESCAPED = re.compile(r"\\+(?:u00|U000000|x)([2-7][0-9A-Fa-f])")


def refuse_keys(text: str, where: str) -> None:
    """Raise `Problem` when a key of ours is in the text; cheap when nothing looks like one."""
    if "_api_" not in text and "cvadm_" not in text and "\\" not in text:
        return
    if not _holds_a_key(_ESCAPED.sub(_character, text)):
        return
    detail = (
        f"There is an API key in the {where}. Keys go into X-API-Key or X-Admin-Key alone; nothing"
        " was done. Rotate this one, as it may have been seen on its way."
    )
    raise Problem(400, "invalid_request", detail, [Fault("", detail)])


def _character(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1], 16))


def _holds_a_key(text: str) -> bool:
    if "cvadm_" in text and _OPERATORS.search(text):
        return True
    if "_api_" not in text:
        return False
    return any(
        number >= MOST_LOOKALIKES or _ends_a_key(text, *end.span())
        for number, end in enumerate(_ENDS.finditer(text))
    )


def _ends_a_key(text: str, tenant_end: int, end: int) -> bool:
    """Whether it is one from any place on: what stands before it may look like more tenant."""
    starts = range(max(0, tenant_end - _LONGEST_TENANT), tenant_end)
    return any(keys.parse(text[start:end]) for start in starts)
