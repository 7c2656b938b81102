"""A key that stands anywhere but in its header ends the request, before anything is made of it.

What a request says is published, recorded and shown; a key must not be among it.
"""

import re

from libs.web.problem import Fault, Problem
from services.gateway import keys

_TENANTS = re.compile(r"[a-z][a-z0-9_]{2,49}_api_[0-9A-Za-z]{49}(?![0-9A-Za-z])")
_OPERATORS = re.compile(r"cvadm_[0-9A-Za-z_-]{20,}")


def refuse_keys(text: str, where: str) -> None:
    """Raise `Problem` when a key of ours is in the text; cheap when nothing looks like one."""
    if not _holds_a_key(text):
        return
    detail = (
        f"There is an API key in the {where}. Keys go into X-API-Key or X-Admin-Key alone; nothing"
        " was done. Rotate this one, as it may have been seen on its way."
    )
    raise Problem(400, "invalid_request", detail, [Fault("", detail)])


def _holds_a_key(text: str) -> bool:
    if "cvadm_" in text and _OPERATORS.search(text):
        return True
    return "_api_" in text and any(keys.parse(found) for found in _TENANTS.findall(text))
