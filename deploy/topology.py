"""Creates or updates topics, subscriptions and dead letters; prints what differs first.

    python -m deploy.topology --project my-project --dry-run
    python -m deploy.topology --project my-project

With PUBSUB_EMULATOR_HOST set it works on an emulator. Exit codes: 0 when all is
as it should be now (with --dry-run: when it could be compared), 1 when a
subscription has to be recreated by hand, 3 when Pub/Sub could not be reached or
refused. What is unknown is named and left alone.
"""

import argparse
import os
import sys

from contracts.topology import topology
from libs.bus.admin import Action, Change, PubSubAdmin, TopologyError

BY_HAND, FAILED = 1, 3


def main(argv: list[str] | None = None) -> int:
    chosen = _arguments(argv)
    try:
        changes = _bring_up_to_date(chosen.project, dry_run=chosen.dry_run)
    except TopologyError as error:
        print(error, file=sys.stderr)
        return FAILED
    by_hand = any(change.action is Action.RECREATE_SUBSCRIPTION for change in changes)
    return BY_HAND if by_hand else 0


def _bring_up_to_date(project: str, *, dry_run: bool) -> list[Change]:
    admin = PubSubAdmin(project)
    changes = admin.diff(topology())
    for change in changes:
        print(change, flush=True)
    if not changes:
        print("nothing to do: Pub/Sub is as the topology says")
    elif not dry_run:
        admin.apply(topology())
    return changes


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.topology")
    parser.add_argument("--project", default=os.environ.get("GCP_PROJECT_ID", "convergence-local"))
    parser.add_argument("--dry-run", action="store_true", help="only print what differs")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
