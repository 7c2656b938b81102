"""Where processor time goes, by function; the waiting in between does not count."""

import cProfile
import pstats
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from libs.testing.processes import ROOT
from tests.bench.figures import Profile

MOST = 8
_METHOD = re.compile(r"<method '(.+)' of '(.+)' objects>")
_FUNCTION = re.compile(r"<built-in method (.+)>")
Place = tuple[str, int, str]


@contextmanager
def profiled(name: str) -> Iterator[list[Profile]]:
    """Of this thread, whatever it does until the block ends: then it is in the list."""
    found: list[Profile] = []
    profiler = cProfile.Profile(time.thread_time)
    profiler.enable()
    try:
        yield found
    finally:
        profiler.disable()
    found.append(Profile(name, _shares(profiler)))


def _shares(profiler: cProfile.Profile) -> list[tuple[str, float]]:
    """The functions that take most by themselves, in percent of all."""
    stats = cast("Any", pstats.Stats(profiler))
    whole = stats.total_tt or 1.0
    own = {place: taken for place, (_, _, taken, _, _) in stats.stats.items()}
    most = sorted(own, key=own.__getitem__, reverse=True)[:MOST]
    return [(_named(place), 100 * own[place] / whole) for place in most]


def _named(place: Place) -> str:
    file, _, function = place
    if method := _METHOD.fullmatch(function):
        return f"{method[2]}.{method[1]}"
    if builtin := _FUNCTION.fullmatch(function):
        return builtin[1]
    return f"{_short(Path(file))}: {function}"


def _short(file: Path) -> str:
    parts = file.parts
    if "site-packages" in parts:
        return "/".join(parts[parts.index("site-packages") + 1 :])
    return file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name
