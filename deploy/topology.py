"""Creates or updates topics, subscriptions and dead letters; prints what differs first.

    python -m deploy.topology --project my-project --dry-run
    python -m deploy.topology --project my-project

With PUBSUB_EMULATOR_HOST set it works on an emulator.
"""

import argparse
import os
import sys

from contracts.topology import topology
from libs.bus.admin import Action, PubSubAdmin


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.topology")
    parser.add_argument("--project", default=os.environ.get("GCP_PROJECT_ID", "convergence-local"))
    parser.add_argument("--dry-run", action="store_true", help="only print what differs")
    chosen = parser.parse_args(argv)
    admin = PubSubAdmin(chosen.project)
    changes = admin.diff(topology())
    for change in changes:
        print(change)
    if not changes:
        print("nothing to do: Pub/Sub is as the topology says")
    if not chosen.dry_run:
        admin.apply(topology())
    return 1 if any(change.action is Action.RECREATE_SUBSCRIPTION for change in changes) else 0


if __name__ == "__main__":
    sys.exit(main())
