"""The operator's key, for commands that ask the gateway. Needs nothing but Python."""

import os
import sys


def given_key() -> str:
    """The newest key of ADMIN_API_KEY; empty, and said so, when there is none."""
    key = os.environ.get("ADMIN_API_KEY", "").partition(",")[0]
    if not key:
        print("set ADMIN_API_KEY to a key that the gateway knows", file=sys.stderr)
    return key
