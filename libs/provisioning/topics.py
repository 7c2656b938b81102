"""Topics, subscriptions and dead letters as a part of a deployment."""

from contracts.topology import Topology
from libs.bus import admin
from libs.bus.admin import Action, PubSubAdmin
from libs.bus.errors import TopologyError
from libs.provisioning.change import Change, ProvisioningError

BY_HAND = frozenset({Action.RECREATE_SUBSCRIPTION, Action.UNKNOWN})


class Topics:
    def __init__(self, project: str, wanted: Topology) -> None:
        self._project = project
        self._wanted = wanted

    def diff(self) -> list[Change]:
        try:
            return [_plain(change) for change in PubSubAdmin(self._project).diff(self._wanted)]
        except TopologyError as error:
            raise ProvisioningError("comparing Pub/Sub", error) from error

    def apply(self) -> list[Change]:
        try:
            return [_plain(change) for change in PubSubAdmin(self._project).apply(self._wanted)]
        except TopologyError as error:
            raise ProvisioningError("changing Pub/Sub", error) from error


def _plain(change: admin.Change) -> Change:
    return Change(str(change), by_hand=change.action in BY_HAND)
