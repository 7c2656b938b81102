"""IAM policies of the resources of a sealed store: kept and shown, enforced on nobody."""

from hashlib import sha256
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2, policy_pb2

from libs.local_cloud.rpc import RpcError
from libs.local_cloud.sealed_store import SealedStore


class PolicyRpcs:
    """The RPCs of IAM, which every resource has."""

    def __init__(self, store: SealedStore) -> None:
        self._store = store

    def SetIamPolicy(self, request: Any, _: Any) -> Any:
        known = self._policy(request.resource)
        if request.policy.etag not in {b"", known.etag}:
            raise RpcError(
                grpc.StatusCode.ABORTED,
                "There were concurrent policy changes: read the policy again and retry.",
            )
        kept = policy_pb2.Policy()
        kept.CopyFrom(request.policy)
        kept.etag = _etag(known.etag, kept)
        self._store.set_policy(request.resource, kept.SerializeToString())
        return kept

    def GetIamPolicy(self, request: Any, _: Any) -> Any:
        return self._policy(request.resource)

    def TestIamPermissions(self, request: Any, _: Any) -> Any:
        """Whoever calls an emulator may do everything."""
        self._policy(request.resource)
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request.permissions)

    def _policy(self, resource: str) -> Any:
        found = policy_pb2.Policy.FromString(self._store.policy(resource))
        found.etag = found.etag or _etag(b"", found)
        return found


def _etag(before: bytes, policy: Any) -> bytes:
    return sha256(before + bytes(policy.SerializeToString(deterministic=True))).digest()[:8]
