"""Creates or updates what the platform needs from the cloud; prints what differs first.

    python -m deploy.apply --project my-project --dry-run
    python -m deploy.apply --project my-project
    python -m deploy.apply --project my-project --only topics,bucket

Where the settings name emulators (PUBSUB_EMULATOR_HOST and the others), it works
on those. Exit codes: 0 when all is as it should be now (with --dry-run: when it
could be compared), 1 when something is left for a person to do, 3 when the cloud
could not be reached or refused. What is unknown is named and left alone.
"""

import argparse
import sys

from deploy.parts import NAMES, DeploySettings, parts
from libs.provisioning.change import Change, Part, ProvisioningError
from libs.settings import load

BY_HAND, FAILED = 1, 3


def main(argv: list[str] | None = None) -> int:
    chosen = _arguments(argv)
    settings = load(DeploySettings, project=chosen.project)
    found: list[Change] = []
    try:
        for name, part in parts(settings, chosen.only):
            found += _bring_up_to_date(name, part, dry_run=chosen.dry_run)
    except ProvisioningError as error:
        print(error, file=sys.stderr)
        return FAILED
    if not found:
        print("nothing to do: the cloud is as declared")
    return BY_HAND if any(change.by_hand for change in found) else 0


def _bring_up_to_date(name: str, part: Part, *, dry_run: bool) -> list[Change]:
    changes = part.diff()
    for change in changes:
        print(f"{name}: {change}", flush=True)
    if not dry_run and any(not change.by_hand for change in changes):
        part.apply()
    return changes


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.apply")
    parser.add_argument("--project", help="otherwise GCP_PROJECT_ID")
    parser.add_argument("--dry-run", action="store_true", help="only print what differs")
    parser.add_argument("--only", type=_names, default=NAMES, help=f"some of {','.join(NAMES)}")
    return parser.parse_args(argv)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in NAMES:
            message = f"{name!r} is none of {', '.join(NAMES)}"
            raise argparse.ArgumentTypeError(message)
    return names


if __name__ == "__main__":
    sys.exit(main())
