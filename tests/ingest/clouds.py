"""Buckets and sign-ins of AWS, Azure and Google as they behave; signatures are checked.

What `faults` says (see `Provider`) holds here too.
"""

import gzip
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.ingest.providers import Provider, serve

AWS_KEYS = {
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG+canary",
    "region": "eu-west-1",
}
PRINCIPAL = {"tenant_id": "contoso.example", "client_id": "app-1", "client_secret": "s3cr3t-canary"}
SIGNATURE = "sv=2023&sig=canary%2Fsas"
PER_PAGE = 2


@dataclass
class Clouds(Provider):
    """`objects` are what every bucket of every cloud here holds."""

    objects: dict[str, bytes] = field(default_factory=dict)
    findings: list[dict[str, object]] = field(default_factory=list)
    modified: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    packing: dict[str, str] = field(default_factory=dict)
    """Of some objects: how their content is said to be packed."""
    cut: dict[str, int] = field(default_factory=dict)
    """So much of an object is sent the next time, and the connection ends well."""
    key: RSAPrivateKey = field(default_factory=lambda: generate_private_key(65537, 2048))

    def application(self) -> web.Application:
        app = super().application()
        for path, handler in {
            "/s3/{bucket}/": self.s3_list,
            "/s3/{bucket}/{name:.+}": self.s3_get,
            "/aws/{action}": self.aws_items,
            "/blob/{account}/{container}": self.azure_list,
            "/blob/{account}/{container}/{name:.+}": self.azure_get,
            "/login/{tenant}/v2.0/.well-known/openid-configuration": self.azure_endpoints,
            "/web/{name:.+}": self.web_get,
            "/google/items": self.google_items,
            "/azure/items": self.azure_items,
        }.items():
            app.router.add_get(path, handler)
        app.router.add_post("/login/{tenant}/oauth2/v2.0/token", self.azure_token)
        app.router.add_post("/google/token", self.google_token)
        app.router.add_post("/hub/findings", self.hub_findings)
        app.router.add_post(
            "/subscriptions/{id}/providers/Microsoft.PolicyInsights/policyStates/latest/queryResults",
            self.policy_states,
        )
        app.router.add_get("/v1/{kind}/{parent}/sources/-/findings", self.scc_findings)
        return app

    @property
    def service_account(self) -> dict[str, str]:
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {
            "type": "service_account",
            "client_email": "reader@example.iam.gserviceaccount.com",
            "private_key_id": "k1",
            "private_key": pem.decode(),
            "token_uri": f"{self.url}/google/token",
        }

    async def s3_list(self, request: web.Request) -> web.Response:
        if refused := _aws_refusal(request, "s3"):
            return refused
        names = self._names(request.query["prefix"])
        first = int(request.query.get("continuation-token", "0"))
        page = names[first : first + PER_PAGE]
        more = first + PER_PAGE < len(names)
        contents = "".join(
            f"<Contents><Key>{escape(n)}</Key><LastModified>{self.modified.get(n, '')}"
            f"</LastModified><ETag>{escape(self._etag(n))}</ETag>"
            f"<Size>{len(self.objects[n])}</Size></Contents>"
            for n in page
        )
        token = f"<NextContinuationToken>{first + PER_PAGE}</NextContinuationToken>" if more else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>b</Name>{contents}{token}</ListBucketResult>"
        )
        return web.Response(body=body.encode(), content_type="application/xml")

    async def s3_get(self, request: web.Request) -> web.Response:
        return _aws_refusal(request, "s3") or self._content(request)

    async def aws_items(self, request: web.Request) -> web.Response:
        return _aws_refusal(request, "ce") or web.json_response([{"id": 1}])

    async def hub_findings(self, request: web.Request) -> web.Response:
        """GetFindings: what is asked for, and for which page, is in the body."""
        body = await request.read()
        if refused := _aws_refusal(request, "securityhub", body):
            return refused
        asked = json.loads(body)
        if unknown := set(asked) - {"Filters", "MaxResults", "NextToken", "SortCriteria"}:
            return web.json_response({"Message": f"no {unknown}"}, status=400)
        assert request.content_type == "application/json"
        assert 1 <= asked["MaxResults"] <= 100
        found, following = self._page_of_findings(asked.get("NextToken"))
        more = {"NextToken": following} if following else {}
        return web.json_response({"Findings": found, **more})

    async def policy_states(self, request: web.Request) -> web.Response:
        """The next page's address is in the answer; it is asked for by POST as well."""
        if refused := self._azure_refusal(request):
            return refused
        if request.query["api-version"] != "2019-10-01" or await request.read():
            return web.json_response({"error": "bad request"}, status=400)
        found, following = self._page_of_findings(request.query.get("$skiptoken"))
        more = f"{self.url}{request.path}?api-version=2019-10-01&$skiptoken={following}"
        link = more if following else None
        body = {"@odata.nextLink": link, "@odata.count": len(found), "value": found}
        return web.json_response(body)

    async def scc_findings(self, request: web.Request) -> web.Response:
        """As Google answers: an empty list is left out."""
        if refused := self._bearer_refusal(request):
            return refused
        found, following = self._page_of_findings(request.query.get("pageToken"))
        page = {"listFindingsResults": found} if found else {}
        more = {"nextPageToken": following} if following else {}
        return web.json_response({"readTime": "2026-12-01T00:00:00Z", **page, **more})

    async def azure_list(self, request: web.Request) -> web.Response:
        if refused := self._azure_refusal(request):
            return refused
        names = self._names(request.query.get("prefix", ""))
        first = int(request.query.get("marker", "0"))
        page = names[first : first + PER_PAGE]
        more = str(first + PER_PAGE) if first + PER_PAGE < len(names) else ""
        blobs = "".join(
            f"<Blob><Name>{escape(n)}</Name><Properties><Last-Modified>"
            f"{self.modified.get(n, '')}</Last-Modified><Etag>{self._etag(n)[1:-1]}</Etag>"
            f"<Content-Length>{len(self.objects[n])}</Content-Length></Properties></Blob>"
            for n in page
        )
        body = (
            '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults>'
            f"<Blobs>{blobs}</Blobs><NextMarker>{more}</NextMarker></EnumerationResults>"
        )
        return web.Response(body=body.encode(), content_type="application/xml")

    async def azure_get(self, request: web.Request) -> web.Response:
        return self._azure_refusal(request) or self._content(request)

    async def azure_items(self, request: web.Request) -> web.Response:
        return self._azure_refusal(request) or web.json_response([{"id": 1}])

    async def azure_endpoints(self, request: web.Request) -> web.Response:
        if request.match_info["tenant"] != PRINCIPAL["tenant_id"]:
            return web.json_response({"error": "invalid_tenant"}, status=400)
        root = f"https://login.microsoftonline.com/{request.match_info['tenant']}"
        return web.json_response(
            {
                "issuer": f"{root}/v2.0",
                "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
                "token_endpoint": f"{root}/oauth2/v2.0/token",
            }
        )

    async def azure_token(self, request: web.Request) -> web.Response:
        form = await request.post()
        wanted = {name: form.get(name) for name in ("client_id", "client_secret")}
        if wanted != {n: PRINCIPAL[n] for n in wanted} or not str(form["scope"]).endswith(
            "/.default"
        ):
            return web.json_response({"error": "invalid_client"}, status=401)
        return self._new_token()

    async def google_token(self, request: web.Request) -> web.Response:
        header, claims, signature = str((await request.post())["assertion"]).split(".")
        raw = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        self.key.public_key().verify(raw, f"{header}.{claims}".encode(), PKCS1v15(), SHA256())
        said = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        assert said["aud"] == "https://oauth2.googleapis.com/token"
        assert said["scope"].startswith("https://www.googleapis.com/auth/")
        return self._new_token()

    async def google_items(self, request: web.Request) -> web.Response:
        return self._bearer_refusal(request) or web.json_response([{"id": 1}])

    async def web_get(self, request: web.Request) -> web.Response:
        if request.query.get("sig") == "for GET only" and request.method == "HEAD":
            return web.Response(status=403)
        name = request.match_info["name"]
        name = f"{name}?{request.query['part']}" if "part" in request.query else name
        if name not in self.objects:
            return web.Response(status=404)
        wanted = request.headers.get("Authorization")
        if name.startswith("secret/") and wanted != "Bearer let-me-in":
            return web.Response(status=401)
        headers = {} if name.startswith("plain/") else {"ETag": self._etag(name)}
        status = 403 if name.startswith("refused/") else 200
        return self._sent(request, name, headers, status)

    def _page_of_findings(self, token: str | None) -> tuple[list[dict[str, object]], str]:
        """And the next page's token, if there is one."""
        at = int(token or "0")
        more = at + PER_PAGE < len(self.findings)
        return self.findings[at : at + PER_PAGE], str(at + PER_PAGE) if more else ""

    def _content(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.objects:
            return web.Response(status=404, text="<Code>NoSuchKey</Code>")
        if request.headers.get("If-Match") != self._etag(name):
            return web.Response(status=412)
        return self._sent(request, name, {"ETag": self._etag(name)})

    def _sent(
        self, request: web.Request, name: str, headers: dict[str, str], status: int = 200
    ) -> web.Response:
        body = self.objects[name][: self.cut.pop(name, None)]
        packing = self.packing.get(name)
        if name.startswith("twofold/") and "gzip" in request.headers.get("Accept-Encoding", ""):
            body, packing = gzip.compress(body), "gzip"
        if packing:
            headers["Content-Encoding"] = packing
        return web.Response(status=status, body=body, headers=headers)

    def _names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(prefix))

    def _etag(self, name: str) -> str:
        if name in self.tags:
            return self.tags[name]
        return f'"{hashlib.md5(self.objects[name], usedforsecurity=False).hexdigest()}"'

    def _new_token(self) -> web.Response:
        self.tokens += 1
        answer = {"access_token": f"t{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}
        return web.json_response(answer)

    def _azure_refusal(self, request: web.Request) -> web.Response | None:
        if request.rel_url.raw_query_string.endswith(SIGNATURE):
            return None
        return self._bearer_refusal(request)

    def _bearer_refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer t{self.tokens}":
            return None
        return web.json_response({"error": "not let in"}, status=401)


def _aws_refusal(request: web.Request, service: str, body: bytes = b"") -> web.Response | None:
    """The signature worked out as AWS documents it, from what arrived."""
    said = request.headers.get("Authorization", "")
    if not said.startswith("AWS4-HMAC-SHA256 "):
        return web.Response(status=403, text="<Code>AccessDenied</Code>")
    parts = dict(p.strip().split("=", 1) for p in said.split(" ", 1)[1].split(","))
    at = request.headers["X-Amz-Date"]
    scope = f"{at[:8]}/{AWS_KEYS['region']}/{service}/aws4_request"
    names = parts["SignedHeaders"].split(";")
    assert {"host", "x-amz-date"} <= set(names)
    canonical = "\n".join(
        [
            request.method,
            request.rel_url.raw_path,
            _canonical_query(request.rel_url.raw_query_string),
            *(f"{name}:{request.headers[name].strip()}" for name in names),
            "",
            parts["SignedHeaders"],
            request.headers.get("X-Amz-Content-SHA256") or hashlib.sha256(body).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{AWS_KEYS['secret_access_key']}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    to_sign = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}".encode()
    expected = hmac.new(key, to_sign, hashlib.sha256).hexdigest()
    good = parts["Credential"] == f"{AWS_KEYS['access_key_id']}/{scope}"
    if good and hmac.compare_digest(parts["Signature"], expected):
        return None
    return web.Response(status=403, text="<Code>SignatureDoesNotMatch</Code>")


def _canonical_query(raw: str) -> str:
    pairs = sorted(
        (quote(k, safe="-_.~"), quote(v, safe="-_.~"))
        for k, v in parse_qsl(raw, keep_blank_values=True)
    )
    return "&".join(f"{k}={v}" for k, v in pairs)


@asynccontextmanager
async def serve_clouds(objects: Mapping[str, bytes]) -> AsyncIterator[Clouds]:
    clouds = Clouds(objects=dict(objects))
    async with serve(clouds) as found:
        assert isinstance(found, Clouds)
        yield found
