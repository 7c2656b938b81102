"""What Pub/Sub refuses, with the status that the real service answers."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from libs.local_cloud.pubsub_filter import compile_filter
from libs.local_cloud.pubsub_retries import DEFAULT_ATTEMPTS, bounds
from libs.local_cloud.rpc import RpcError

T = TypeVar("T")
INVALID = grpc.StatusCode.INVALID_ARGUMENT
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
MAX_MESSAGES, MAX_BYTES = 1000, 10_000_000
MAX_ATTRIBUTES, MAX_KEY, MAX_VALUE, MAX_ORDERING_KEY = 100, 256, 1024, 1024
LEAST_DEADLINE, MOST_DEADLINE = 10, 600
DAY = 86_400
RETENTION = (600, 31 * DAY)
DEFAULT_RETENTION, DEFAULT_EXPIRATION = 7 * DAY, 31 * DAY
ATTEMPTS = (5, 100)
PAGE = 1000
TOPIC_FIELDS = frozenset({"labels", "message_retention_duration", "message_storage_policy"})
SUBSCRIPTION_FIELDS = frozenset(
    {
        "ack_deadline_seconds",
        "dead_letter_policy",
        "enable_exactly_once_delivery",
        "expiration_policy",
        "labels",
        "message_retention_duration",
        "push_config",
        "retain_acked_messages",
        "retry_policy",
    }
)
SNAPSHOT_FIELDS = frozenset({"labels", "expire_time"})
_ID = r"(?!goog)[A-Za-z][\w.~+%-]{2,254}"


def found(known: Mapping[str, T], name: str) -> T:
    if name not in known:
        short = name.rpartition("/")[2]
        raise RpcError(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={short}).")
    return known[name]


def check_new(known: Collection[str], kind: str, name: str) -> None:
    if not re.fullmatch(f"projects/[^/]+/{kind}/{_ID}", name, re.ASCII):
        raise RpcError(INVALID, f"Invalid resource name given (name={name}).")
    if name in known:
        short = name.rpartition("/")[2]
        raise RpcError(
            grpc.StatusCode.ALREADY_EXISTS,
            f"Resource already exists in the project (resource={short}).",
        )


def check_topic(topic: Any) -> None:
    _check_emulated(topic, "schema_settings", "ingestion_data_source_settings")
    _check_retention(topic)


def check_messages(messages: Sequence[Any], size: int) -> None:
    if not messages:
        raise RpcError(INVALID, "The publish request contains no messages.")
    if len(messages) > MAX_MESSAGES:
        raise RpcError(INVALID, f"A publish takes at most {MAX_MESSAGES} messages.")
    if size > MAX_BYTES:
        raise RpcError(INVALID, f"A publish takes at most {MAX_BYTES} bytes.")
    for message in messages:
        _check_message(message)


def _check_message(message: Any) -> None:
    attributes = message.attributes
    if not message.data and not attributes:
        raise RpcError(INVALID, "Some messages in the batch are empty.")
    if len(attributes) > MAX_ATTRIBUTES:
        raise RpcError(INVALID, f"A message takes at most {MAX_ATTRIBUTES} attributes.")
    if len(message.ordering_key.encode()) > MAX_ORDERING_KEY:
        raise RpcError(INVALID, f"An ordering key takes at most {MAX_ORDERING_KEY} bytes.")
    for key, value in attributes.items():
        if not key or key.startswith("goog") or len(key.encode()) > MAX_KEY:
            raise RpcError(INVALID, f"Invalid attribute key given (key={key[:MAX_KEY]}).")
        if len(value.encode()) > MAX_VALUE:
            raise RpcError(INVALID, f"The value of attribute {key} is longer than {MAX_VALUE}.")


def complete_subscription(config: Any) -> None:
    """Fill in what the service fills in, for what was left out."""
    config.ack_deadline_seconds = config.ack_deadline_seconds or LEAST_DEADLINE
    if not config.HasField("message_retention_duration"):
        config.message_retention_duration.seconds = DEFAULT_RETENTION
    if not config.HasField("expiration_policy"):
        config.expiration_policy.ttl.seconds = DEFAULT_EXPIRATION
    if config.HasField("dead_letter_policy"):
        policy = config.dead_letter_policy
        policy.max_delivery_attempts = policy.max_delivery_attempts or DEFAULT_ATTEMPTS


def check_subscription(config: Any, topics: Mapping[str, Any]) -> None:
    _check_emulated(config, "bigquery_config", "cloud_storage_config")
    if not LEAST_DEADLINE <= config.ack_deadline_seconds <= MOST_DEADLINE:
        raise RpcError(
            INVALID,
            f"Invalid ack deadline given: must be between {LEAST_DEADLINE} and {MOST_DEADLINE}.",
        )
    if config.filter:
        compile_filter(config.filter)
    _check_retention(config)
    if config.HasField("retry_policy"):
        _check_backoff(config.retry_policy)
    if config.HasField("dead_letter_policy"):
        _check_dead_letters(config.dead_letter_policy, topics)


def _check_emulated(config: Any, *fields: str) -> None:
    """Rather refuse than take a setting and not act on it."""
    for field in fields:
        if field in config.DESCRIPTOR.fields_by_name and config.HasField(field):
            raise RpcError(UNIMPLEMENTED, f"{field} is not emulated.")


def _check_retention(config: Any) -> None:
    if not config.HasField("message_retention_duration"):
        return
    least, most = RETENTION
    if not least <= config.message_retention_duration.seconds <= most:
        raise RpcError(INVALID, f"Invalid message retention: must be {least} to {most} seconds.")


def _check_backoff(policy: Any) -> None:
    shortest, longest = bounds(policy)
    if not 0 <= shortest <= longest <= MOST_DEADLINE:
        raise RpcError(INVALID, "Invalid retry policy: 0 <= minimum <= maximum <= 600 seconds.")


def _check_dead_letters(policy: Any, topics: Mapping[str, Any]) -> None:
    found(topics, policy.dead_letter_topic)
    least, most = ATTEMPTS
    if not least <= policy.max_delivery_attempts <= most:
        raise RpcError(INVALID, f"Invalid max_delivery_attempts: must be {least} to {most}.")


def check_lease(seconds: int) -> None:
    if not 0 <= seconds <= MOST_DEADLINE:
        raise RpcError(
            INVALID, f"Invalid ack deadline given: must be between 0 and {MOST_DEADLINE}."
        )


def check_attached(config: Any) -> None:
    if config.detached:
        raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, "The subscription is detached.")


def page(known: Collection[str], prefix: str, request: Any) -> tuple[list[str], str]:
    """One page of names in order, and the token of the next; the token is the last name."""
    if request.page_size < 0:
        raise RpcError(INVALID, "Invalid page_size given: must not be negative.")
    names = sorted(n for n in known if n.startswith(prefix) and n > request.page_token)
    size = min(request.page_size or PAGE, PAGE)
    return names[:size], names[size - 1] if len(names) > size else ""


def merged(mask: Any, source: Any, target: Any, mutable: Collection[str]) -> Any:
    """Return a copy of `target` with the fields that the mask names taken from `source`."""
    if not mask.paths:
        raise RpcError(INVALID, "The update_mask in the request is empty.")
    for path in mask.paths:
        known = FieldMask(paths=[path]).IsValidForDescriptor(target.DESCRIPTOR)
        if not known or path.partition(".")[0] not in mutable:
            raise RpcError(INVALID, f"Invalid update_mask provided: {path!r} cannot be changed.")
    result = type(target)()
    result.CopyFrom(target)
    mask.MergeMessage(source, result, replace_message_field=True, replace_repeated_field=True)
    return result
