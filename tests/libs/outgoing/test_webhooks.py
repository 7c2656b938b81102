"""Signatures are those that a Standard Webhooks receiver computes."""

from datetime import UTC, datetime

import pytest

from libs.outgoing.webhooks import SENDER, BadSecretError, signed_headers

# The example of the specification's reference implementations.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  published
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'


def test_the_published_example_is_signed_alike() -> None:
    headers = signed_headers(ID, AT, BODY, [SECRET])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (ID, "1614265330")
    assert headers["user-agent"] == SENDER


def test_two_secrets_sign_while_one_replaces_another() -> None:
    other = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
    assert signed_headers(ID, AT, BODY, [SECRET, other])["webhook-signature"].count("v1,") == 2


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!", "whsec_c2hvcnQ="])
def test_a_bad_secret_is_refused_without_being_quoted(secret: str) -> None:
    with pytest.raises(BadSecretError) as caught:
        signed_headers(ID, AT, BODY, [secret])
    assert "c2hvcnQ" not in str(caught.value)
