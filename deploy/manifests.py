"""Fills in a Cloud Run manifest and prints it, for `gcloud run … replace`.

python -m deploy.manifests gateway --project P --image IMAGE --revision 1a2b3c > gateway.yaml
gcloud run services replace gateway.yaml
python -m deploy.manifests executor --project P --image IMAGE --revision 1a2b3c > executor.yaml
gcloud run worker-pools replace executor.yaml
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from string import Template

SERVICES = ("gateway", "tenant", "scheduler", "executor", "audit_log")
FOLDER = Path(__file__).parent / "cloudrun"
ENVIRONMENTS = ("staging", "production")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is deployed, and from what."""

    project: str
    image: str
    revision: str
    environment: str = "production"
    location: str = "US"
    kms_location: str = "global"
    network: str = "default"
    subnetwork: str = "default"
    ledger_bucket: str = ""
    """As for `deploy.apply`; empty is the usual name, as everywhere."""
    data_bucket: str = ""

    def variables(self) -> Mapping[str, str]:
        return {one.name.upper(): getattr(self, one.name) for one in fields(self)}


def render(service: str, place: Place) -> str:
    """The manifest; raises `KeyError` for a variable that nobody sets."""
    return Template((FOLDER / f"{service}.yaml").read_text()).substitute(place.variables())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.manifests")
    parser.add_argument("service", choices=SERVICES)
    for one in fields(Place):
        name = f"--{one.name.replace('_', '-')}"
        choices = ENVIRONMENTS if one.name == "environment" else None
        required = one.name in {"project", "image", "revision"}
        parser.add_argument(
            name, required=required, default=None if required else one.default, choices=choices
        )
    chosen = vars(parser.parse_args(argv))
    service = chosen.pop("service")
    sys.stdout.write(render(service, Place(**chosen)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
