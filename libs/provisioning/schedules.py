"""Jobs of Cloud Scheduler that publish to a topic."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.provisioning.change import Change
from libs.provisioning.rest import Rest

URL = "https://cloudscheduler.googleapis.com/v1"
COMPARED = ("schedule", "timeZone", "pubsubTarget")


@dataclass(frozen=True, slots=True)
class Schedule:
    rest: Rest
    parent: str
    """`projects/P/locations/L`."""
    name: str
    cron: str
    topic: str
    data: bytes
    attributes: Mapping[str, str]

    def diff(self) -> list[Change]:
        found = self.rest.get(f"{URL}/{self._path}")
        if found is None:
            return [Change(f"create schedule {self.name} ({self.cron})")]
        wanted = self.job()
        stale = [key for key in COMPARED if found.get(key) != wanted[key]]
        return [Change(f"update schedule {self.name} ({', '.join(stale)})")] if stale else []

    def apply(self) -> list[Change]:
        changes = self.diff()
        for change in changes:
            if change.what.startswith("create"):
                self.rest.send("POST", f"{URL}/{self.parent}/jobs", self.job())
            else:
                self.rest.send("PATCH", f"{URL}/{self._path}", self.job())
        return changes

    def job(self) -> dict[str, Any]:
        return {
            "name": self._path,
            "schedule": self.cron,
            "timeZone": "Etc/UTC",
            "pubsubTarget": {
                "topicName": self.topic,
                "data": b64encode(self.data).decode(),
                "attributes": dict(self.attributes),
            },
        }

    @property
    def _path(self) -> str:
        return f"{self.parent}/jobs/{self.name}"
