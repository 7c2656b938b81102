"""What somebody may have meant by a word that is not known."""

import difflib
from collections.abc import Collection

from services.scheduler.definitions.nodes import MOST_PROBLEMS


class Hints:
    """For the first few only: looking for what is near takes long, and strangers write much."""

    def __init__(self) -> None:
        self._left = MOST_PROBLEMS

    def on(self, written: str, known: Collection[str]) -> str:
        self._left -= 1
        near = difflib.get_close_matches(written[:80], known, 1) if self._left >= 0 else ()
        return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
