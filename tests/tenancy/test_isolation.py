"""Two tenants, every route, every identifier swapped: 404, and nothing of the other is seen.

One tenant's id begins like the other's. Routes, and all that they take, come
from the gateway's own document: a new route is walked, and a new name in a path,
a filter, a header or a body has to be known to `twins` or `walk`. What another
has answers in every way like what is not there at all.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest

from tests.stack import Stack
from tests.tenancy.twins import (
    FIRST,
    NOBODYS,
    SECOND,
    Asked,
    Twin,
    leaks,
    settled,
    shape,
    visit,
    what_it_has,
)
from tests.tenancy.walk import Operation, operations, swaps, unknown

CREATES_ITS_OWN = frozenset(
    f"{method} /api/v1/pipelines/configs/{{config_id}}" for method in ("PUT", "POST")
)
"""Where a tenant gives a name of its choice: another's name is as good as any."""
SHARED = {
    "POST /api/v1/tenants/datasets": "a dataset's name is one for the whole project",
    "POST /api/v1/tenants/onboard": "so is a tenant's",
}
"""Where it may be known that a name is taken."""
Sides = tuple[Twin, Twin]


@pytest.fixture(scope="module")
def twins(stack: Stack) -> Sides:
    return settled(stack, FIRST), settled(stack, SECOND)


@pytest.fixture(scope="module")
def document(stack: Stack) -> Any:
    return stack.call("GET", "/openapi.json").body


@pytest.fixture(scope="module")
def routes(document: Any) -> list[Operation]:
    found = [one for one in operations(document) if not one.is_for_admins_alone]
    # Last what makes things under the victim's names, or the later routes would find those.
    return sorted(found, key=lambda one: one.name in CREATES_ITS_OWN)


@pytest.fixture(params=["the longer id", "the shorter id"])
def sides(twins: Sides, request: pytest.FixtureRequest) -> Sides:
    """Who intrudes, and on whom."""
    first, second = twins
    return (second, first) if request.param == "the longer id" else (first, second)


def test_all_that_a_route_takes_is_known_here(routes: list[Operation], twins: Sides) -> None:
    assert not unknown(routes, twins[0].ids), "a tenant's: say so in twins; nothing's: in walk"
    assert twins[0].ids.keys() == twins[1].ids.keys() == NOBODYS.keys()


@pytest.mark.parametrize("place", ["path", "query", "header", "body", "deep in a body"])
def test_what_nobody_has_thought_of_is_noticed(document: Any, twins: Sides, place: str) -> None:
    told: dict[str, Any] = {"security": [{"TenantKey": []}], "parameters": list[Any]()}
    schema: dict[str, Any] = {"type": "object", "properties": {"novel_id": {"type": "string"}}}
    if place == "deep in a body":
        schema = {"properties": {"parts": {"type": "array", "items": {"anyOf": [schema]}}}}
    if "body" in place:
        content = {"application/json": {"schema": schema, "example": {}}}
        told["requestBody"] = {"content": content}
    else:
        parameter = {"name": "novel_id", "in": place, "schema": {"type": "string"}}
        told["parameters"] = [parameter]
    more = {**document, "paths": {"/novel": {"get": told}}}
    assert unknown(operations(more), twins[0].ids) == {("GET /novel", "novel_id")}


def test_anothers_identifiers_as_filters_show_nothing(
    stack: Stack, routes: list[Operation], sides: Sides
) -> None:
    # Before the intrusions: those are in the intruder's own audit trail, as it made them.
    intruder, victim = sides
    asked = 0
    for one in routes:
        if one.method != "GET":
            continue
        own = one.filled(intruder.ids)
        assert leaks(visit(stack, intruder, one, Asked(own)), victim, own) == [], one.name
        for theirs, nobodys in zip(
            filters(one, own, victim.ids), filters(one, own, NOBODYS), strict=True
        ):
            asked += 1
            alike(stack, sides, one, theirs, nobodys)
    assert asked >= 8


def filters(one: Operation, path: str, ids: Mapping[str, str]) -> Iterator[Asked]:
    for name in one.parameters("query"):
        if name in ids:
            yield Asked(f"{path}?{name}={quote(ids[name])}")
    for name in one.parameters("header"):
        if name in ids:
            yield Asked(path, headers={name: ids[name]})


def test_anothers_identifiers_lead_nowhere(
    stack: Stack, routes: list[Operation], sides: Sides
) -> None:
    intruder, victim = sides
    before, walked = what_it_has(stack, victim), 0
    for one in routes:
        for theirs, nobodys in zip(
            paths(one, intruder, victim.ids), paths(one, intruder, NOBODYS), strict=True
        ):
            status = alike(stack, sides, one, theirs, nobodys)
            assert status == 404 or one.name in CREATES_ITS_OWN, (one.name, theirs.path)
            walked += 1
    assert walked > 40
    assert what_it_has(stack, victim) == before


def paths(one: Operation, intruder: Twin, ids: Mapping[str, str]) -> Iterator[Asked]:
    for values in swaps(one.identifiers, intruder.ids, ids):
        yield Asked(one.filled(values))


def test_anothers_identifiers_in_a_body_lead_nowhere(
    stack: Stack, routes: list[Operation], sides: Sides
) -> None:
    intruder, victim = sides
    before, walked = what_it_has(stack, victim), set()
    for one in routes:
        for theirs, nobodys in zip(
            bodies(one, intruder, victim.ids), bodies(one, intruder, NOBODYS), strict=True
        ):
            if one.name in SHARED:
                answer = visit(stack, intruder, one, theirs)
                assert 400 <= answer.status < 500, (one.name, answer.body)
                assert leaks(answer, victim, theirs.said) == [], one.name
            else:
                alike(stack, sides, one, theirs, nobodys)
            walked.add(one.name)
    assert len(walked) > 5
    assert what_it_has(stack, victim) == before


def bodies(one: Operation, intruder: Twin, ids: Mapping[str, str]) -> Iterator[Asked]:
    """Their names in the body, and beside it where there is more than reading to it."""
    path, (example, _) = one.filled(intruder.ids), one.body
    if one.method != "GET":
        yield from filters(one, path, ids)
    for place in one.fields:
        if place[-1] in ids:
            yield Asked(path, put(example, place, ids[place[-1]]))
    if one.takes_text:
        yield Asked(path, example.replace("${tenant_id}", ids["dataset"]))


def put(body: Any, place: tuple[str, ...], value: str) -> Any:
    """The body with a value at a place, whether it has anything there or not."""
    inner = put(body.get(place[0], {}), place[1:], value) if place[1:] else value
    return {**body, place[0]: inner}


def alike(stack: Stack, sides: Sides, one: Operation, theirs: Asked, nobodys: Asked) -> int:
    """The answer holds nothing of the victim, and is the one to what nobody has."""
    intruder, victim = sides
    answer, other = (visit(stack, intruder, one, asked) for asked in (theirs, nobodys))
    assert leaks(answer, victim, theirs.said) == [], one.name
    found, wanted = shape(answer, intruder, victim.ids), shape(other, intruder, NOBODYS)
    assert found == wanted, (one.name, theirs.said)
    return answer.status


def test_anothers_cursor_shows_nothing(stack: Stack, routes: list[Operation], sides: Sides) -> None:
    intruder, victim = sides
    tried = 0
    for one in routes:
        if one.method != "GET" or "cursor" not in one.parameters("query"):
            continue
        page = stack.call("GET", f"{one.filled(victim.ids)}?limit=1", tenant=victim.name)
        assert page.status == 200, (one.name, page.body)
        cursor = page.body.get("next_cursor")
        if cursor:
            path = f"{one.filled(intruder.ids)}?limit=1&cursor={quote(cursor)}"
            answer = visit(stack, intruder, one, Asked(path))
            assert (answer.status, answer.body["code"]) == (400, "invalid_cursor"), one.name
            assert leaks(answer, victim, path) == [], one.name
            tried += 1
    assert tried > 2


def test_anothers_idempotency_key_repeats_nobodys_answer(
    stack: Stack, routes: list[Operation], sides: Sides
) -> None:
    intruder, victim = sides
    tried = 0
    for one in routes:
        body, _ = one.body
        open_to_all = not one.identifiers and one.name not in SHARED
        if not (open_to_all and one.has("Idempotency-Key") and isinstance(body, dict)):
            continue
        again = Asked(one.path, body, {"Idempotency-Key": f"the-same-{one.name}-{victim.name}"})
        first = visit(stack, victim, one, again)
        told = {value for value in words(first.body) if value not in again.said}
        second = visit(stack, intruder, one, again)
        assert first.status == second.status, one.name
        if first.status < 300:
            assert told - set(words(second.body)), one.name
            assert leaks(second, victim, again.said) == [], one.name
            tried += 1
    assert tried > 1


def words(body: Any) -> list[str]:
    values = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return [body] if isinstance(body, str) else [w for value in values for w in words(value)]


def test_a_tenants_key_opens_nothing_of_the_platforms(
    stack: Stack, document: Any, twins: Sides
) -> None:
    first, second = twins
    tried = 0
    for one in operations(document):
        if one.is_for_admins_alone:
            asked = Asked(one.filled(first.ids))
            answer = visit(stack, second, one, asked)
            assert (answer.status, answer.body["code"]) == (401, "admin_key_required"), one.name
            assert leaks(answer, first, asked.said) == []
            tried += 1
    assert tried > 20
