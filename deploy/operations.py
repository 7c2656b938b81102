"""What operators do to a running platform. Each command says what it did, one line each.

    python -m deploy.operations dead-letters
    python -m deploy.operations redrive --subscription S [--type T] [--reason TEXT] [--dry-run]
    python -m deploy.operations replay --since 2026-01-31T00:00:00Z
    python -m deploy.operations rotate-key
    python -m deploy.operations rotate-admin-key [--finish]
    python -m deploy.operations snapshot | snapshots | restore NAME

All take --project. Exit codes: 0 done, 1 something was left undone (it says what),
3 the cloud could not be reached or refused. The audit log is verified offline:
`python -m services.audit_log.verify EXPORT`.
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from contracts.catalogue import CONSUMING_SERVICES
from contracts.message import Service
from contracts.topology import durable_subscriptions
from deploy.parts import ADMIN_KEY_PREFIX, DeploySettings
from libs.bus.operating import DeadLetter, DeadLetterBox, OperatingError, seek
from libs.clock import system_clock
from libs.provisioning.change import ProvisioningError
from libs.provisioning.keys import CredentialsKey
from libs.provisioning.secret_values import RandomSecret
from libs.settings import load
from libs.warehouse.errors import WarehouseError
from libs.warehouse.snapshots import Copied, Snapshots
from libs.warehouse.warehouse import WarehouseSettings

LEFT, FAILED = 1, 3
SHOWN = 1000
SYSTEM_DATASET = "tenants"
# Clocks differ a little; what is recorded twice counts once.
MARGIN = timedelta(minutes=1)


def dead_letters(settings: DeploySettings, _: argparse.Namespace) -> int:
    names = list(_subscriptions(CONSUMING_SERVICES))

    def look(name: str) -> list[DeadLetter]:
        return DeadLetterBox(settings.gcp_project_id, name).look(SHOWN)

    with ThreadPoolExecutor(len(names)) as at_once:  # looking into an empty box takes seconds
        for name, letters in zip(names, at_once.map(look, names), strict=True):
            for letter in letters:
                print(f"{name}: {_told(letter)}")
    return 0


def redrive(settings: DeploySettings, chosen: argparse.Namespace) -> int:
    def wanted(letter: DeadLetter) -> bool:
        return chosen.type in {"", letter.type} and chosen.reason in letter.reason

    box = DeadLetterBox(settings.gcp_project_id, chosen.subscription)
    if chosen.dry_run:
        letters = box.look(chosen.limit)
        sent = [letter for letter in letters if wanted(letter) and letter.can_be_sent]
        left = [letter for letter in letters if letter not in sent]
    else:
        sent, left = box.redrive(wanted, chosen.limit)
    for letter in sent:
        print(f"{'would redrive' if chosen.dry_run else 'redriven'}: {_told(letter)}")
    for letter in left:
        print(f"left: {_told(letter)}")
    print(f"{len(sent)} redriven, {len(left)} left")
    return LEFT if left else 0


def replay(settings: DeploySettings, chosen: argparse.Namespace) -> int:
    start = chosen.since - MARGIN
    for name in _subscriptions((Service.AUDIT_LOG,)):
        seek(settings.gcp_project_id, name, start)
        print(f"{name}: plays again from {start.isoformat()}")
    return 0


def rotate_key(settings: DeploySettings, _: argparse.Namespace) -> int:
    made = CredentialsKey(settings.kms_key_name, settings.kms_endpoint).rotate()
    print(f"{made} encrypts from now on; what older versions encrypted still opens")
    return 0


def rotate_admin_key(settings: DeploySettings, chosen: argparse.Namespace) -> int:
    secret = RandomSecret(
        settings.gcp_project_id,
        "admin-api-key",
        settings.secret_manager_endpoint,
        ADMIN_KEY_PREFIX,
    )
    if chosen.finish:
        print(f"{secret.finish()} holds only the new key; restart the gateways")
    else:
        print(f"{secret.rotate()} holds a new key and the old one; restart the gateways")
    return 0


def snapshot(settings: DeploySettings, _: argparse.Namespace) -> int:
    name, copied = _snapshots(settings).take(system_clock())
    _tell(copied)
    print(f"snapshot {name}")
    return 0


def snapshots(settings: DeploySettings, _: argparse.Namespace) -> int:
    for name in _snapshots(settings).names():
        print(name)
    return 0


def restore(settings: DeploySettings, chosen: argparse.Namespace) -> int:
    _tell(_snapshots(settings).restore(chosen.name))
    print(f"restored {chosen.name}; what was recorded since is kept")
    return 0


def _subscriptions(services: tuple[Service, ...]) -> Iterator[str]:
    for service in services:
        for spec in durable_subscriptions(service):
            yield spec.name


def _snapshots(settings: DeploySettings) -> Snapshots:
    where = WarehouseSettings(
        settings.gcp_project_id, settings.bigquery_location, settings.bigquery_endpoint
    )
    return Snapshots(where, SYSTEM_DATASET)


def _told(letter: DeadLetter) -> str:
    id_ = letter.attributes.get("ce-id", letter.message_id)
    tenant = letter.attributes.get("ce-tenantid", "no tenant")
    return f"{letter.type} {id_} of {tenant}: {letter.reason}"


def _tell(copied: list[Copied]) -> None:
    for one in copied:
        print(f"{one.table}: {one.rows} rows")


COMMANDS = {
    "dead-letters": dead_letters,
    "redrive": redrive,
    "replay": replay,
    "rotate-key": rotate_key,
    "rotate-admin-key": rotate_admin_key,
    "snapshot": snapshot,
    "snapshots": snapshots,
    "restore": restore,
}


def main(argv: list[str] | None = None) -> int:
    chosen = _arguments(argv)
    settings = load(DeploySettings, project=chosen.project)
    try:
        return COMMANDS[chosen.command](settings, chosen)
    except (OperatingError, ProvisioningError, WarehouseError) as error:
        print(error, file=sys.stderr)
        return FAILED


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.operations")
    parser.add_argument("--project", help="otherwise GCP_PROJECT_ID")
    commands = parser.add_subparsers(dest="command", required=True)
    made = {name: commands.add_parser(name) for name in COMMANDS}
    names = tuple(_subscriptions(CONSUMING_SERVICES))
    drive = made["redrive"]
    drive.add_argument("--subscription", required=True, choices=names, metavar="SUBSCRIPTION")
    drive.add_argument("--type", default="", help="only this message type")
    drive.add_argument("--reason", default="", help="only letters whose reason holds this text")
    drive.add_argument("--limit", type=int, default=SHOWN)
    drive.add_argument("--dry-run", action="store_true", help="only say what would be redriven")
    made["replay"].add_argument(
        "--since", type=_moment, required=True, help="RFC 3339, UTC or offset"
    )
    made["rotate-admin-key"].add_argument("--finish", action="store_true", help="drop the old key")
    made["restore"].add_argument("name", help="as `snapshots` shows it")
    return parser.parse_args(argv)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if found.tzinfo is None:
        message = f"{text!r} has no time zone: write it as 2026-01-31T00:00:00Z"
        raise argparse.ArgumentTypeError(message)
    return found.astimezone(UTC)


if __name__ == "__main__":
    sys.exit(main())
