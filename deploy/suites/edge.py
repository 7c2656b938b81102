"""What anybody can see of a gateway; nothing here changes anything."""

import socket
import ssl
import statistics
from datetime import UTC, datetime
from urllib.parse import urlsplit

from deploy.suites.checks import SkippedError, World, check, demand, expect, problem

ASKED = 40
P95_SECONDS = 0.5
DAYS_LEFT = 14
WRONG_KEY = "acme_api_2PYDK6LgMm7CazDNB7LGjuTuqIMkDUnZEKNu49b2Lpi4eS1hs"
VERSIONED = "/api/v1/"


@check("health")
def health_says_which_service_and_version(world: World) -> None:
    for path in ("/health", "/healthz"):
        found = expect(world.client.get(path), 200, path).body
        demand(found["status"] == "healthy", f"{path}: {found}")
        demand(found["service"] == "convergence-data-pipeline", f"{path}: {found}")
        demand(found["version"] and found["environment"], f"{path}: {found}")


@check("health")
def a_run_would_succeed(world: World) -> None:
    found = expect(world.client.get("/readyz"), 200, "/readyz").body
    demand(found["status"] == "ready", f"/readyz: {found}")


@check("tls")
def the_certificate_is_trusted_and_stays_valid(world: World) -> None:
    parts = urlsplit(world.client.url)
    context = world.client.tls()
    if context is None:
        reason = "the URL is not https"
        raise SkippedError(reason)
    address = (parts.hostname or "", parts.port or 443)
    with (
        socket.create_connection(address, timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=address[0]) as wrapped,
    ):
        version, certificate = wrapped.version(), wrapped.getpeercert() or {}
    demand(version in {"TLSv1.2", "TLSv1.3"}, f"the connection is {version}")
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    left = (datetime.fromtimestamp(ends, UTC) - datetime.now(UTC)).days
    demand(left >= DAYS_LEFT, f"the certificate ends in {left} days")


@check("keys rejected")
def without_a_key_nothing_is_shown(world: World) -> None:
    problem(world.client.get("/api/v1/tenants/me"), 401, "no X-API-Key")
    problem(world.client.get("/api/v1/admin/tenants"), 401, "no X-Admin-Key")


@check("keys rejected")
def a_wrong_key_is_refused(world: World) -> None:
    for key in ("x", WRONG_KEY, "A" * 5000):
        sent = {"X-API-Key": key}
        found = world.client.call("GET", "/api/v1/tenants/me", headers=sent)
        problem(found, 401, f"X-API-Key of {len(key)} characters")
    sent = {"X-Admin-Key": "wrong"}
    found = world.client.call("GET", "/api/v1/admin/tenants", headers=sent)
    problem(found, 401, "a wrong X-Admin-Key")


@check("versioning")
def every_route_is_versioned_and_other_versions_are_not_there(world: World) -> None:
    listed = expect(world.client.get("/openapi.json"), 200, "/openapi.json").body["paths"]
    odd = [p for p in listed if not p.startswith((VERSIONED, "/admin/", "/health", "/readyz"))]
    demand(not odd, f"routes without a version: {odd}")
    for path in ("/api/v2/tenants/me", "/api/tenants/me", "/v1/tenants/me"):
        problem(world.client.get(path), 404, path)


@check("schema")
def the_document_is_openapi_and_every_operation_has_answers(world: World) -> None:
    document = expect(world.client.get("/openapi.json"), 200, "/openapi.json").body
    demand(str(document["openapi"]).startswith("3.1"), f"openapi: {document.get('openapi')}")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            demand(operation.get("responses"), f"{method.upper()} {path} declares no answer")


@check("latency")
def ninety_five_of_a_hundred_answers_are_quick(world: World) -> None:
    times = [world.client.get("/healthz").seconds for _ in range(ASKED)]
    p95 = statistics.quantiles(times, n=20)[-1]
    demand(p95 <= P95_SECONDS * world.slack, f"P95 of {ASKED} answers is {p95 * 1000:.0f} ms")


@check("cors")
def a_stranger_origin_gets_no_leave(world: World) -> None:
    sent = {"Origin": "https://stranger.invalid", "Access-Control-Request-Method": "GET"}
    for method in ("OPTIONS", "GET"):
        found = world.client.call(method, "/api/v1/tenants/me", headers=sent)
        leave = found.header("Access-Control-Allow-Origin")
        demand(leave in {"", "null"}, f"{method}: {leave!r} is allowed")


@check("cors")
def the_own_origin_gets_leave(world: World) -> None:
    if not world.origin:
        reason = "no --origin was given"
        raise SkippedError(reason)
    sent = {"Origin": world.origin, "Access-Control-Request-Method": "GET"}
    found = world.client.call("OPTIONS", "/api/v1/tenants/me", headers=sent)
    leave = found.header("Access-Control-Allow-Origin")
    demand(leave == world.origin, f"the origin that is allowed is {leave!r}")


@check("errors")
def errors_are_problem_documents_without_insides(world: World) -> None:
    for path in ("/nothing/here", "/api/v1/nothing", "/api/v1/tenants/me/../../..//x"):
        found = problem(world.client.get(path), 404, path)
        text = str(found.body)
        demand("Traceback" not in text and "/app/" not in text, f"{path} shows insides")
    found = world.client.call("TRACE", "/healthz")
    demand(found.status in {404, 405, 501}, f"TRACE is answered {found.status}")
