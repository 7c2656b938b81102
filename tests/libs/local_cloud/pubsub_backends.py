"""Where the Pub/Sub suite runs: our emulator, or Google's when it is asked for."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any, Self
from uuid import uuid4

import grpc
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import PubsubMessage, ReceivedMessage, StreamingPullRequest

from libs.testing.processes import emulator
from tests.stack import free_port

OURS, OFFICIAL = "ours", "official"
START_SECONDS = 60
STEP_SECONDS = 60.0
SWITCH = "PUBSUB_OFFICIAL"  # 1 runs the suite on Google's emulator as well
LAUNCHER = "PUBSUB_JAVA_EMULATOR"  # where that is, when gcloud does not say
GAPS: dict[str, str] = {
    "test_an_update_changes_what_its_mask_names": "labels cannot be updated",
    "test_bad_subscriptions_are_refused[short-deadline]": "takes a deadline under 10 s",
    "test_bad_subscriptions_are_refused[filter]": "takes any filter",
    "test_bad_messages_are_refused[nameless]": "takes an attribute without a name",
    "test_bad_messages_are_refused[value]": "does not limit attribute values",
    "test_bad_messages_are_refused[key]": "does not limit attribute names",
    "test_bad_messages_are_refused[ordering-key]": "does not limit ordering keys",
    "test_bad_messages_are_refused[size]": "does not limit the size of messages",
    "test_only_what_a_filter_selects_is_delivered": "filters nothing",
    "test_a_seek_replays_only_what_the_filter_selects": "filters nothing",
    "test_what_is_rejected_comes_again_counted_until_it_is_buried": "has no dead letters",
    "test_a_backoff_holds_a_message_back": "redelivers at once",
    "test_a_detached_subscription_refuses_to_be_pulled": "cannot detach",
    "test_a_key_is_redelivered_in_order": "holds a key back after a rejection",
    "test_what_was_acknowledged_too_early_follows_what_failed": "holds a key back then",
    "test_a_key_stays_with_one_stream": "hands a key to any stream",
    "test_a_stream_holds_no_more_than_it_asked_for": "gives a stream more than it asked for",
}
"""What Google's emulator does not do, by test; each is a strict xfail there."""


def backends() -> list[str]:
    return [OURS, OFFICIAL] if os.environ.get(SWITCH) == "1" else [OURS]


@contextmanager
def official_emulator() -> Iterator[int]:
    """Run Google's emulator on a free port, in a process group of its own."""
    port = free_port()
    process = subprocess.Popen(
        [_launcher(), "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # the launcher is a shell, which would leave Java behind
    )
    try:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        grpc.channel_ready_future(channel).result(timeout=START_SECONDS)
        channel.close()
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(START_SECONDS)


def _launcher() -> str:
    if chosen := os.environ.get(LAUNCHER):
        return chosen
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise FileNotFoundError(f"no gcloud on PATH: set {LAUNCHER} to Google's emulator")
    root = subprocess.run(
        [gcloud, "info", "--format=value(installation.sdk_root)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return str(Path(root) / "platform/pubsub-emulator/bin/cloud-pubsub-emulator")


@contextmanager
def backend(name: str) -> Iterator[int]:
    if name == OFFICIAL:
        with official_emulator() as port:
            yield port
    else:
        with emulator("pubsub") as running:
            yield running.ports["grpc"]


class Clients:
    """Google's clients on the emulator that PUBSUB_EMULATOR_HOST names."""

    def __init__(self) -> None:
        self.publisher = PublisherClient()
        self.subscriber = SubscriberClient()

    def close(self) -> None:
        self.subscriber.close()

    def topic(self, **options: Any) -> str:
        name: str = self.publisher.topic_path("p", f"t{uuid4().hex}")
        self.publisher.create_topic(request={"name": name, **options})
        return name

    def subscription(self, topic: str, **options: Any) -> str:
        name: str = self.subscriber.subscription_path("p", f"s{uuid4().hex}")
        self.subscriber.create_subscription(request={"name": name, "topic": topic, **options})
        return name

    def snapshot(self, subscription: str) -> str:
        name: str = self.subscriber.snapshot_path("p", f"n{uuid4().hex}")
        self.subscriber.create_snapshot(name=name, subscription=subscription)
        return name

    def publish(self, topic: str, *texts: str, key: str = "", **attributes: str) -> list[str]:
        messages = [
            PubsubMessage(data=t.encode(), ordering_key=key, attributes=attributes) for t in texts
        ]
        return list(self.publisher.api.publish(topic=topic, messages=messages).message_ids)

    def pull(self, subscription: str, most: int = 10) -> list[ReceivedMessage]:
        """Wait for messages; returns none only when none came in all that time."""
        end = time.monotonic() + STEP_SECONDS
        while (left := end - time.monotonic()) > 0:
            answer = self.subscriber.pull(
                subscription=subscription, max_messages=most, timeout=max(1.0, left)
            )
            if answer.received_messages:
                return list(answer.received_messages)
        return []

    def pull_now(self, subscription: str, most: int = 10) -> list[ReceivedMessage]:
        answer = self.subscriber.pull(
            request={
                "subscription": subscription,
                "max_messages": most,
                "return_immediately": True,
            }
        )
        return list(answer.received_messages)

    def collect(self, subscription: str, wanted: int) -> list[ReceivedMessage]:
        """Pull and acknowledge until so many have come; fewer when no more come."""
        received: list[ReceivedMessage] = []
        while len(received) < wanted and (some := self.pull(subscription, wanted)):
            self.acknowledge(subscription, *some)
            received += some
        return received

    def acknowledge(self, subscription: str, *received: ReceivedMessage) -> None:
        ids = [one.ack_id for one in received]
        self.subscriber.acknowledge(subscription=subscription, ack_ids=ids)

    def lease(self, subscription: str, one: ReceivedMessage, seconds: int) -> None:
        self.subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=[one.ack_id], ack_deadline_seconds=seconds
        )

    def reject(self, subscription: str, one: ReceivedMessage) -> None:
        self.lease(subscription, one, 0)

    def stream(self, subscription: str, **options: Any) -> "PullStream":
        return PullStream(self.subscriber, subscription, options)


class PullStream:
    """One streaming pull by hand; what comes is waited for, never slept for."""

    def __init__(self, client: Any, subscription: str, options: dict[str, Any]) -> None:
        self._requests: Queue[StreamingPullRequest | None] = Queue()
        self._received: Queue[ReceivedMessage | grpc.StatusCode] = Queue()
        first = {"stream_ack_deadline_seconds": 10, **options}
        self._requests.put(StreamingPullRequest(subscription=subscription, **first))
        self._call = client.api.streaming_pull(requests=iter(self._requests.get, None))
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.put(None)
        self._call.cancel()

    def next(self) -> ReceivedMessage:
        found = self._received.get(timeout=STEP_SECONDS)
        assert isinstance(found, ReceivedMessage), f"the stream has ended: {found}"
        return found

    def end(self) -> grpc.StatusCode:
        found = self._received.get(timeout=STEP_SECONDS)
        assert isinstance(found, grpc.StatusCode), f"not ended, but a message came: {found}"
        return found

    @property
    def is_quiet(self) -> bool:
        return self._received.empty()

    def acknowledge(self, *received: ReceivedMessage) -> None:
        self._requests.put(StreamingPullRequest(ack_ids=[one.ack_id for one in received]))

    def _read(self) -> None:
        try:
            for response in self._call:
                for one in response.received_messages:
                    self._received.put(one)
        except Exception as error:  # noqa: BLE001  every way to end is for the test to judge
            self._received.put(getattr(error, "grpc_status_code", grpc.StatusCode.UNKNOWN))


def first_to_receive(*streams: PullStream) -> PullStream:
    """Wait until one of several streams has something."""
    end = time.monotonic() + STEP_SECONDS
    while time.monotonic() < end:
        for stream in streams:
            if not stream.is_quiet:
                return stream
    raise TimeoutError("no stream received anything")


def texts(received: list[ReceivedMessage]) -> list[str]:
    return [one.message.data.decode() for one in received]
