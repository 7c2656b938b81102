"""The RPCs of Publisher, and IAM's, which every resource has."""

from typing import Any

from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import empty_pb2
from google.pubsub_v1.types import pubsub as types

from libs.local_cloud.pubsub_broker import Broker
from libs.local_cloud.pubsub_rules import (
    TOPIC_FIELDS,
    check_messages,
    check_new,
    check_topic,
    found,
    merged,
    page,
)
from libs.local_cloud.pubsub_wire import bare


class PublisherRpcs:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def CreateTopic(self, topic: Any, _: Any) -> Any:
        check_new(self._broker.topics, "topics", topic.name)
        check_topic(topic)
        self._broker.save_topic(topic)
        return topic

    def GetTopic(self, request: Any, _: Any) -> Any:
        return found(self._broker.topics, request.topic)

    def UpdateTopic(self, request: Any, _: Any) -> Any:
        topic = found(self._broker.topics, request.topic.name)
        changed = merged(request.update_mask, request.topic, topic, TOPIC_FIELDS)
        check_topic(changed)
        self._broker.save_topic(changed)
        return changed

    def ListTopics(self, request: Any, _: Any) -> Any:
        topics = self._broker.topics
        names, token = page(topics, f"{request.project}/", request)
        return bare(types.ListTopicsResponse)(
            topics=[topics[name] for name in names], next_page_token=token
        )

    def ListTopicSubscriptions(self, request: Any, _: Any) -> Any:
        found(self._broker.topics, request.topic)
        readers = [state.config.name for state in self._broker.of_topic(request.topic)]
        names, token = page(readers, "", request)
        return bare(types.ListTopicSubscriptionsResponse)(
            subscriptions=names, next_page_token=token
        )

    def ListTopicSnapshots(self, request: Any, _: Any) -> Any:
        found(self._broker.topics, request.topic)
        made = [s.name for s in self._broker.snapshots.values() if s.topic == request.topic]
        names, token = page(made, "", request)
        return bare(types.ListTopicSnapshotsResponse)(snapshots=names, next_page_token=token)

    def DeleteTopic(self, request: Any, _: Any) -> Any:
        found(self._broker.topics, request.topic)
        self._broker.delete_topic(request.topic)
        return empty_pb2.Empty()

    def Publish(self, request: Any, _: Any) -> Any:
        found(self._broker.topics, request.topic)
        check_messages(request.messages, request.ByteSize())
        ids = self._broker.publish(request.topic, request.messages)
        return bare(types.PublishResponse)(message_ids=ids)

    def DetachSubscription(self, request: Any, _: Any) -> Any:
        self._broker.detach(found(self._broker.subscriptions, request.subscription))
        return bare(types.DetachSubscriptionResponse)()


class PolicyRpcs:
    """Keeps policies in memory and enforces none: everybody may do everything here."""

    def __init__(self) -> None:
        self._policies: dict[str, Any] = {}

    def SetIamPolicy(self, request: Any, _: Any) -> Any:
        self._policies[request.resource] = request.policy
        return request.policy

    def GetIamPolicy(self, request: Any, _: Any) -> Any:
        return self._policies.get(request.resource, policy_pb2.Policy())

    def TestIamPermissions(self, request: Any, _: Any) -> Any:
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request.permissions)
