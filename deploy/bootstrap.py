"""Makes the system tables and views through a gateway, and waits until a run would succeed.

    ADMIN_API_KEY=… python -m deploy.bootstrap --url https://api.example.com
    ADMIN_API_KEY=… python -m deploy.bootstrap --recreate tables --confirm tenants

Says what was done to each object. May be repeated: what is there already stays
as it is. --recreate copies every table to a snapshot, drops it and makes it anew;
`python -m deploy.operations restore` brings its rows back. Exit codes: 0 when the
platform is ready, 1 when it is not within --seconds, 2 without a key.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

from deploy.given_key import given_key

CALL_SECONDS = 60.0
PAUSE_SECONDS = 0.5
SERVER_ERROR = 500
NOT_READY, NO_KEY = 1, 2


class RefusedError(RuntimeError):
    """The gateway answered, and asking again would not help."""

    def __init__(self, path: str, status: int, body: str) -> None:
        super().__init__(f"{path} answered {status}: {body[:500]}")


def main(argv: list[str] | None = None) -> int:
    chosen = _arguments(argv)
    if not (key := given_key()):
        return NO_KEY
    end = time.monotonic() + chosen.seconds
    try:
        _tell(_bootstrapped(chosen, end, key))
        _until(end, f"{chosen.url}/readyz", key)
    except (RefusedError, OSError, ValueError) as error:
        print(f"not ready: {error}", file=sys.stderr)
        return NOT_READY
    print("ready: a run would succeed")
    return 0


def _bootstrapped(chosen: argparse.Namespace, end: float, key: str) -> Any:
    url = f"{chosen.url}/api/v1/admin/bootstrap"
    if not chosen.recreate:
        return _until(end, url, key, {})
    _until(end, f"{chosen.url}/readyz", key)
    # Once only: asked again, it would begin again.
    return _ask(url, key, {f"force_recreate_{chosen.recreate}": True, "confirm": chosen.confirm})


def _tell(done: Any) -> None:
    for made in done["objects"]:
        print(f"{made['action']} {made['name']}")
    counts = Counter(made["action"] for made in done["objects"])
    told = ", ".join(f"{count} {action}" for action, count in counts.items())
    print(f"schema version {done['schema_version']}: {told}")


def _until(end: float, url: str, key: str, body: Any = None) -> Any:
    """Ask until there is a good answer; raises the last error when time is up."""
    while True:
        try:
            return _ask(url, key, body)
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(PAUSE_SECONDS)


def _ask(url: str, key: str, body: Any) -> Any:
    request = urllib.request.Request(  # noqa: S310  the operator says which URL
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Admin-Key": key, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        if error.code < SERVER_ERROR:
            raise RefusedError(url, error.code, said) from None
        raise OSError(f"{url} answered {error.code}: {said[:500]}") from None


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.bootstrap")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of the gateway")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to wait")
    parser.add_argument(
        "--recreate",
        choices=("tables", "dataset"),
        help="the platform's tables, or all that the dataset holds, views too",
    )
    parser.add_argument("--confirm", default="", help="the dataset to be recreated: its name")
    found = parser.parse_args(argv)
    found.url = found.url.rstrip("/")
    return found


if __name__ == "__main__":
    sys.exit(main())
