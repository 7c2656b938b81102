"""Asks a gateway whether it keeps its promises; one line per check.

    ADMIN_API_KEY=… python -m deploy.suites local --url http://127.0.0.1:8080
    ADMIN_API_KEY=… python -m deploy.suites staging --url https://… --junit staging.xml
    python -m deploy.suites production --url https://…      # looks, and changes nothing

Exit codes: 0 when every check passed or had a reason to be skipped, 1 otherwise, 2
when an admin key is needed and was not given.
"""

import argparse
import os
import sys
from pathlib import Path

from deploy.suites import edge, life
from deploy.suites.checks import CHANGING, CHECKS, SUITES, World, run
from deploy.suites.client import Client
from deploy.suites.junit import junit

FAILED, NO_KEY = 1, 2
LOADED = (edge, life)
"""Importing them registers their checks."""


def main(argv: list[str] | None = None) -> int:
    chosen = _arguments(argv)
    key = os.environ.get("ADMIN_API_KEY", "").partition(",")[0]
    if chosen.suite in CHANGING and not key:
        print(f"the {chosen.suite} suite makes tenants: set ADMIN_API_KEY", file=sys.stderr)
        return NO_KEY
    if chosen.list:
        for one in CHECKS:
            print(f"{one.group}: {one.name} ({', '.join(one.suites)})")
        return 0
    world = World(Client(chosen.url, key, chosen.ca_file), chosen.origin, chosen.slack)
    results = []
    for result in run(chosen.suite, world):
        why = f": {result.detail}" if result.detail else ""
        said = f"{result.check.group}: {result.check.name}"
        print(f"{result.outcome:7} {result.seconds:6.2f} s  {said}{why}", flush=True)
        results.append(result)
    if chosen.junit:
        chosen.junit.write_text(junit(chosen.suite, results))
    failed = sum(result.outcome == "failed" for result in results)
    print(f"{len(results)} checks, {failed} failed")
    return FAILED if failed else 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.suites")
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of the gateway")
    parser.add_argument("--junit", type=Path, help="also write the results here")
    parser.add_argument("--origin", default="", help="an origin that browsers may call from")
    parser.add_argument("--ca-file", default="", help="whom to trust beside the system's list")
    parser.add_argument(
        "--slack", type=float, default=1.0, help="stretch bounds on time, where others work too"
    )
    parser.add_argument("--list", action="store_true", help="only name the checks")
    found = parser.parse_args(argv)
    found.url = found.url.rstrip("/")
    return found


if __name__ == "__main__":
    sys.exit(main())
