"""Requests signed as AWS has it (Signature Version 4), by AWS's own library."""

from collections.abc import Mapping
from dataclasses import replace

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from libs.cloud_auth.errors import field_of
from libs.outgoing.client import Call

AWS = "AWS"


def signed(call: Call, fields: Mapping[str, str], region: str, service: str) -> Call:
    """Good for some minutes. Raises `UnusableKeyError`."""
    keys = Credentials(
        field_of(AWS, fields, "access_key_id"),
        field_of(AWS, fields, "secret_access_key"),
        fields.get("session_token") or None,
    )
    request = AWSRequest(
        method=call.method, url=call.url, headers=dict(call.headers), data=call.body or b""
    )
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(keys, service, region).add_auth(request)
    return replace(call, headers=dict(request.headers.items()), exact=True)
