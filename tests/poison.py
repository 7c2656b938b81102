"""A message that no service can read, on the platform's own bus."""

import grpc
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.types import PubsubMessage

from contracts.catalogue import topic_of
from contracts.message import Service
from tests.stack import Stack

PROJECT = "convergence-local"


def poison(stack: Stack, tenant: str) -> str:
    """A command to the scheduler without a body; returns its id."""
    channel = grpc.insecure_channel(f"127.0.0.1:{stack.ports()['pubsub']['grpc']}")
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    attributes = {
        "ce-id": f"poison-of-{tenant}",
        "ce-type": "run.cancel.v1",
        "ce-kind": "command",
        "ce-source": Service.GATEWAY.value,
        "ce-to": Service.SCHEDULER.value,
        "ce-tenantid": tenant,
    }
    message = PubsubMessage(data=b"{}", attributes=attributes, ordering_key=tenant)
    topic = f"projects/{PROJECT}/topics/{topic_of(Service.GATEWAY)}"
    publisher.publish(topic=topic, messages=[message])
    channel.close()
    return attributes["ce-id"]
