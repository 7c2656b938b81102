"""Google's REST interfaces, where no client library of ours speaks of the thing.

A stand-in may take Google's place: then the host's first label becomes the first
part of the path, and calls carry no credentials.
"""

from typing import Any

import google.auth
import requests
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from libs.provisioning.change import ProvisioningError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TIMEOUT = 30.0
NOT_FOUND = 404


class RefusedError(Exception):
    """An answer that is not the one hoped for."""

    def __init__(self, method: str, url: str, status: int, text: str) -> None:
        super().__init__(f"{method} {url} answered {status}: {text[:400]}")


class Rest:
    """JSON in and out. Blocking."""

    def __init__(self, endpoint: str = "") -> None:
        self._endpoint = endpoint
        self._session: requests.Session | None = None

    def get(self, url: str) -> Any:
        """The resource, or None when there is none."""
        return self._call("GET", url, None)

    def ask(self, method: str, url: str, body: Any) -> Any:
        """The answer to a question that has a body, or None when there is no such resource."""
        return self._call(method, url, body)

    def send(self, method: str, url: str, body: Any) -> Any:
        """Create or change something; what is not there is an error too."""
        found = self._call(method, url, body)
        if found is None:
            raise ProvisioningError(
                method, RefusedError(method, url, NOT_FOUND, "no such resource")
            )
        return found

    def _call(self, method: str, url: str, body: Any) -> Any:
        try:
            answer = self._connected().request(
                method, self._resolved(url), json=body, timeout=TIMEOUT
            )
        except (requests.RequestException, GoogleAuthError) as error:
            raise ProvisioningError(f"{method} {url}", error) from error
        if answer.status_code == NOT_FOUND:
            return None
        if not answer.ok:
            refusal = RefusedError(method, url, answer.status_code, answer.text)
            raise ProvisioningError(method, refusal)
        return answer.json()

    def _resolved(self, url: str) -> str:
        if not self._endpoint:
            return url
        host, _, path = url.removeprefix("https://").partition("/")
        return f"{self._endpoint}/{host.partition('.')[0]}/{path}"

    def _connected(self) -> requests.Session:
        if self._session is None:
            if self._endpoint:
                self._session = requests.Session()
            else:
                credentials, _ = google.auth.default(scopes=[SCOPE])
                self._session = AuthorizedSession(credentials)
        return self._session
