"""Pub/Sub on a loopback port, for Google's own clients.

python -m libs.local_cloud.pubsub --port 8085 --state-dir .local/pubsub
"""

import asyncio

from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from libs.local_cloud.faults import Faults
from libs.local_cloud.process import HOST, Options, Running, run
from libs.local_cloud.pubsub_broker import Broker
from libs.local_cloud.pubsub_publisher import PolicyRpcs, PublisherRpcs
from libs.local_cloud.pubsub_store import Store
from libs.local_cloud.pubsub_subscriber import SubscriberRpcs
from libs.local_cloud.rpc import Service, listen

GRACE_SECONDS = 0.2


async def start(options: Options, faults: Faults) -> Running:
    store = Store(options.state_dir)
    broker = Broker(store, faults)
    server, port = await listen(
        HOST,
        options.port,
        Service(PublisherGrpcTransport, PublisherRpcs(broker), faults, bare=True),
        Service(PublisherGrpcTransport, PolicyRpcs(), faults, bare=True),
        Service(SubscriberGrpcTransport, SubscriberRpcs(broker, faults), faults, bare=True),
    )
    sweeping = asyncio.create_task(broker.sweep_for_ever())

    async def stop() -> None:
        sweeping.cancel()
        await broker.close()
        await server.stop(GRACE_SECONDS)
        store.close()

    return Running({"grpc": port}, stop)


if __name__ == "__main__":
    run("pubsub", start)
