"""Files of a tenant's own buckets: listed, let in, fetched whole, or refused in words."""

import gzip
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from threading import get_ident
from traceback import format_exception
from typing import Any
from urllib.parse import quote

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from libs.objects import Objects, ObjectsError
from libs.outgoing.client import Outgoing, OutgoingRules
from libs.slotlog.bucket import BucketSettings
from services.executor.ingest.deliveries import Deliveries, Delivery
from services.executor.ingest.errors import ChangedError
from services.executor.ingest.manifests import delivered
from services.executor.ingest.places import (
    Either,
    FoundFile,
    LandingBucket,
    LocalFolder,
    find,
)
from services.executor.ingest.stores import S3, AzureBlob, BadListingError
from services.executor.steps.step import Credential, StepError, StepRetryError
from tests.ingest.clouds import AWS_KEYS, PRINCIPAL, SIGNATURE, Clouds, serve_clouds
from tests.ingest.surroundings import Surroundings, emulators

AZURE = (
    "<r><Blobs><Blob><Name>a</Name><Properties><Content-Length>{}</Content-Length>"
    "<Last-Modified>{}</Last-Modified><Etag>e</Etag></Properties></Blob></Blobs></r>"
)
TIMES = [
    "Sun, 01 Nov 2026 00:00:00 +0100",
    "Wed, 04 Nov 2026 01:00:00 GMT",
    "Fri, 20 Nov 2026 01:00:00 GMT",
]
START = 1793491200  # of November 2026, in seconds
BILL = b"account,cost\n007,1.5\n008,2\n"
OBJECTS = {
    "cur/2026-11/a b+c.csv": BILL,
    "cur/2026-11/b.csv.gz": gzip.compress(BILL, mtime=0),
    "cur/2026-11/c.csv": BILL,
    "cur/2026-11/deep/d.csv": BILL,
    "cur/2026-12/a.csv": BILL,
}


@pytest.fixture
async def clouds(around: Surroundings) -> AsyncIterator[Clouds]:
    async with serve_clouds(OBJECTS) as found:
        around.tools = replace(around.tools, azure_login=f"{found.url}/login")
        known = {"aws": AWS_KEYS, "azure": PRINCIPAL, "gcp": found.service_account}
        known |= {"sas": {"sas_token": f"?{SIGNATURE}"}, "web": {"api_key": "let-me-in"}}
        around.credentials.known |= {n: Credential(n.upper(), f) for n, f in known.items()}
        yield found


def config(files: str, credential: str = "", **more: Any) -> dict[str, Any]:
    return {
        "files": files,
        "credential": credential,
        "target_table": "${tenant_id}.raw",
        "slice": "2026-11",
        **more,
    }


def s3(clouds: Clouds, files: str = "s3://bills/cur/{period.month}/*", **more: Any) -> Any:
    return config(files, "aws", endpoint=f"{clouds.url}/s3", **more)


def azure(clouds: Clouds, credential: str = "azure") -> dict[str, Any]:
    files = "az://account1/exports/cur/{period.month}/*"
    return config(files, credential, endpoint=f"{clouds.url}/blob")


async def loaded_files(around: Surroundings) -> list[str]:
    rows = await around.rows("SELECT DISTINCT x_file AS f FROM $.raw ORDER BY 1")
    return [row["f"] for row in rows]


MONTH = [name for name in OBJECTS if name.startswith("cur/2026-11/") and "deep" not in name]


async def test_s3_is_listed_page_by_page_and_read_by_signed_calls(
    around: Surroundings, clouds: Clouds
) -> None:
    assert (await around.run("ingest.file", s3(clouds))).rows == 6
    assert await loaded_files(around) == MONTH
    asked = len(clouds.asked)
    assert asked == 5  # two pages, three files
    assert (await around.run("ingest.file", s3(clouds))).rows == 6
    assert around.heard.notes == ["the same files are loaded already"]
    assert len(clouds.asked) == asked + 2


@pytest.mark.parametrize("credential", ["azure", "sas"])
async def test_azure_blobs_are_read_by_a_principal_or_a_shared_signature(
    around: Surroundings, clouds: Clouds, credential: str
) -> None:
    assert (await around.run("ingest.file", azure(clouds, credential))).rows == 6
    assert await loaded_files(around) == MONTH
    assert clouds.tokens == (1 if credential == "azure" else 0)


async def test_files_of_one_name_in_two_containers_are_told_apart(
    around: Surroundings, clouds: Clouds
) -> None:
    def said(roles: dict[str, str]) -> dict[str, Any]:
        return {**azure(clouds), "files": roles}

    clouds.objects["export/run/part_0.csv"] = BILL
    files = {kind: f"az://account1/{kind}/export/run/*" for kind in ("first", "second")}
    assert (await around.run("ingest.file", said(files))).rows == 4
    rows = await around.rows("SELECT DISTINCT x_file AS f, x_role AS r FROM $.raw ORDER BY 1")
    assert [tuple(row.values()) for row in rows] == [
        (f"az://account1/{kind}/export/run/part_0.csv", kind) for kind in ("first", "second")
    ]
    with pytest.raises(StepError, match="is found as first and as second"):
        await around.run("ingest.file", said({**files, "second": files["first"]}))


async def test_cloud_storage_is_read_by_a_service_account(
    around: Surroundings, clouds: Clouds
) -> None:
    for name, content in OBJECTS.items():
        await around.tools.data.write(f"{around.tenant}/{name}", content)
    endpoint = f"http://127.0.0.1:{emulators()['storage'].ports['http']}"
    files = f"gs://test-data/{around.tenant}/cur/{{period.month}}/*"
    done = await around.run("ingest.file", config(files, "gcp", endpoint=endpoint))
    assert (done.rows, clouds.tokens) == (6, 1)
    assert await loaded_files(around) == [f"{around.tenant}/{name}" for name in MONTH]


@pytest.mark.parametrize("fault", [500, 429, "truncated"])
async def test_what_passes_is_asked_again(
    around: Surroundings, clouds: Clouds, fault: int | str
) -> None:
    clouds.faults.extend([None, None, fault, None, fault])
    assert (await around.run("ingest.file", s3(clouds))).rows == 6
    assert len(clouds.asked) == 7


async def test_a_token_that_is_not_taken_any_more_is_fetched_anew(
    around: Surroundings, clouds: Clouds
) -> None:
    clouds.faults.extend([None, None, None, 401])
    assert (await around.run("ingest.file", azure(clouds))).rows == 6
    assert clouds.tokens == 2


async def test_a_file_that_is_replaced_meanwhile_is_not_mixed_in(
    around: Surroundings, clouds: Clouds
) -> None:
    clouds.faults.extend([None, None, 412])
    with pytest.raises(StepRetryError, match="replaced or deleted after it was listed"):
        await around.run("ingest.file", s3(clouds))
    assert (await around.run("ingest.file", s3(clouds))).rows == 6


@pytest.mark.parametrize(
    ("files", "credential", "said"),
    [
        ("s3://bills/cur/2026-11/*", "wrong_aws", r"answered 403 .*may not read"),
        ("s3://bills/cur/2026-11/*", "", "answered 403"),
        ("s3://bills/cur/2020-01/*", "aws", r"no file matches .* in s3://bills"),
        ("s3://bills", "aws", "write s3://bucket/path"),
        ("az://account1/exports", "azure", "write s3://bucket/path"),
        ("s3://bills/cur/2026-11/*", "half_aws", "no field 'secret_access_key'"),
        ("az://account1/exports/cur/*/*", "wrong_azure", "does not let the credential in"),
        ("az://account1/exports/cur/*/*", "lost_azure", "no such directory"),
        ("gs://bills/*", "azure", "not the JSON key of a service account"),
        ("s3://bills/cur/{period.week}/*", "aws", r"\{period.week\} is not known"),
    ],
)
async def test_what_cannot_be_read_is_said_without_the_secret(
    around: Surroundings, clouds: Clouds, files: str, credential: str, said: str
) -> None:
    wrong = {
        "wrong_aws": {**AWS_KEYS, "secret_access_key": "wrong-canary"},
        "half_aws": {"access_key_id": "AKID"},
        "wrong_azure": {**PRINCIPAL, "client_secret": "wrong-canary"},
        "lost_azure": {**PRINCIPAL, "tenant_id": "nowhere.example"},
    }
    around.credentials.known |= {n: Credential("AWS", f) for n, f in wrong.items()}
    endpoint = f"{clouds.url}/{'s3' if files.startswith('s3') else 'blob'}"
    with pytest.raises(StepError, match=said) as caught:
        await around.run("ingest.file", config(files, credential, endpoint=endpoint))
    assert not isinstance(caught.value, StepRetryError)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"manifest": "${parameters.kind}"}, "manifest 'gcp': there are aws, azure and openai"),
        ({"region": "eu-west-1.example.com/"}, "is no region of AWS"),
    ],
)
async def test_words_that_do_not_fit_are_refused(
    around: Surroundings, clouds: Clouds, more: dict[str, str], said: str
) -> None:
    with pytest.raises(StepError, match=said):
        await around.run("ingest.file", s3(clouds, **more), kind="gcp")


async def test_a_bucket_that_is_away_may_be_tried_later(
    around: Surroundings, clouds: Clouds
) -> None:
    clouds.faults.extend([429] * 5)
    with pytest.raises(StepRetryError, match="did not answer in 5 tries; last: it answered 429"):
        await around.run("ingest.file", s3(clouds))


async def test_a_listing_that_is_a_bomb_is_refused(around: Surroundings, clouds: Clouds) -> None:
    clouds.objects["cur/2026-11/&.csv"] = BILL
    assert (await around.run("ingest.file", s3(clouds))).rows == 8
    clouds.objects["bomb.xml/"] = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'
    with pytest.raises(StepError, match="the answer to a listing is none"):
        await around.run("ingest.file", config("s3://bomb.xml/x/*", endpoint=f"{clouds.url}/web"))


async def test_listings_are_read_beside_what_else_is_done(
    around: Surroundings, clouds: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = set[int]()

    def listed(store: S3, body: bytes) -> tuple[list[FoundFile], str]:
        read.add(get_ident())
        return plain(store, body)

    plain = S3.listed
    monkeypatch.setattr(S3, "listed", listed)
    assert (await around.run("ingest.file", s3(clouds))).rows == 6
    assert get_ident() not in read
    assert read


ENTITIES = '<!ENTITY a "{}">'.format("x" * 1000) + '<!ENTITY b "{}">'.format("&a;" * 1000)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("entities", [f"r [{ENTITIES}]", 'r SYSTEM "file:///x"', "r"])
@pytest.mark.parametrize("store", [S3("b", "r"), AzureBlob("a", "c")], ids=["S3", "Azure"])
def test_a_listing_that_says_what_it_may_hold_is_refused_however_it_is_written(
    store: S3 | AzureBlob, encoding: str, entities: str
) -> None:
    said = f'<?xml version="1.0" encoding="{encoding[:6]}"?>'
    good, bad = (f"{said}{one}<r><Key>&amp;</Key></r>" for one in ("", f"<!DOCTYPE {entities}>"))
    mark = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(encoding, "")
    assert store.listed((mark + good).encode(encoding)) == ([], "")
    with pytest.raises(BadListingError):
        store.listed((mark + bad).encode(encoding))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<r>", b"<r></r><r/>", b"\xff<r/>", b"{}"),
        *(b'<?xml version="1.0" encoding="%s"?><r/>' % each for each in (b"gb2312", b"none")),
    ],
)
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    with pytest.raises(BadListingError):
        S3("b", "r").listed(body)


@pytest.mark.parametrize(
    ("store", "body"),
    [
        (S3("b", "r"), b"<r><Contents><Key>a</Key><Size>much</Size></Contents></r>"),
        (AzureBlob("a", "c"), AZURE.format("much", TIMES[0]).encode()),
        (AzureBlob("a", "c"), AZURE.format("1", "yesterday").encode()),
    ],
)
def test_a_listing_of_what_is_no_number_or_time_is_refused(
    store: S3 | AzureBlob, body: bytes
) -> None:
    with pytest.raises(BadListingError):
        store.listed(body)


def test_times_of_azure_come_in_their_order() -> None:
    found = [AzureBlob("a", "c").listed(AZURE.format("1", at).encode())[0][0] for at in TIMES]
    times = [file.modified for file in found]
    assert times == sorted(times)
    assert times[0] == "2026-10-31T23:00:00.000000Z"
    (unsaid,), _ = AzureBlob("a", "c").listed(AZURE.format("1", "").encode())
    assert unsaid.modified == ""


async def test_the_newest_manifest_in_azure_counts(around: Surroundings, clouds: Clouds) -> None:
    """A report of AWS that was copied there; in their texts, Wednesday is behind Friday."""
    for turn, (day, rows) in enumerate(zip(TIMES, (1, 2, 3), strict=True)):
        name = f"cur/2026-11/{2 - turn}"
        clouds.objects |= {
            f"{name}/m.json": aws_manifest(f"{name}/r.csv"),
            f"{name}/r.csv": b"account\n" + b"007\n" * rows,
        }
        clouds.modified[f"{name}/m.json"] = day
    said = {**azure(clouds), "files": "az://account1/exports/cur/*/*/m.json", "manifest": "aws"}
    assert (await around.run("ingest.file", said)).rows == 3
    del clouds.objects["cur/2026-11/0/r.csv"]
    with pytest.raises(StepError, match=r"is of 2026-11-04T01:00:00\.000000Z, and the table holds"):
        await around.run("ingest.file", said)


async def test_a_file_by_https(around: Surroundings, clouds: Clouds) -> None:
    name = "cur/2026-11/b.csv.gz"
    for _ in range(2):
        done = await around.run("ingest.file", config(f"{clouds.url}/web/{name}"))
        assert done.rows == 2
    assert around.heard.notes == ["the same files are loaded already"]
    assert await loaded_files(around) == [f"web/{name}"]


async def test_a_signed_url_is_read_and_its_signature_kept_out_of_the_rows(
    around: Surroundings, clouds: Clouds
) -> None:
    clouds.objects["plain/x.csv"] = BILL
    url = f"{clouds.url}/web/plain/x.csv?sig=for%20GET%20only"
    assert (await around.run("ingest.file", config(url))).rows == 2
    assert await loaded_files(around) == ["web/plain/x.csv"]


@pytest.mark.parametrize("kind", ["export", "plain"])
async def test_files_whose_urls_differ_in_a_query_are_two(
    around: Surroundings, clouds: Clouds, kind: str
) -> None:
    """Also where both are equally long and of one time, and when rows of one are tried again."""
    clouds.objects |= {
        f"{kind}/x?1": b"id,cost\na,1\nb,oops\n",
        f"{kind}/x?2": b"id,cost\nc,2\nd,1234\n",
    }
    clouds.tags |= dict.fromkeys(clouds.objects, '"same"')
    urls = [f"{clouds.url}/web/{kind}/x?part={part}&sig=canary" for part in (1, 2)]
    said = config("", format="csv", contract="discard_row")
    said |= {"files": [*urls, urls[0]], "columns": {"id": "text", "cost": "decimal"}}
    assert (await around.run("ingest.file", said)).rows == 3
    first, second = await loaded_files(around)
    assert first.startswith(f"127.0.0.1/web/{kind}/x (")
    assert "canary" not in first + second
    replay = {k: said[k] for k in ("target_table", "slice", "contract", "columns")}
    assert (await around.run("ingest.replay", replay)).rows == 3
    rows = await around.rows("SELECT id FROM $.raw ORDER BY id")
    assert [row["id"] for row in rows] == ["a", "c", "d"]
    clouds.objects[f"{kind}/x?2"] += b"e,a\n"
    clouds.tags[f"{kind}/x?2"] = '"other"'
    with pytest.raises(StepError, match=r"x \([0-9a-f]{12}\), line 4, column cost"):
        await around.run("ingest.file", {**said, "contract": "evolve", "files": urls[::-1]})


async def test_files_that_once_had_one_name_are_not_tried_again(around: Surroundings) -> None:
    tenant, files = str(around.tenant), ("h/x", "h/x")
    before = Delivery(load_id="l", files=files, aside=1)
    deliveries = Deliveries(around.tools.data)
    await deliveries.commit(tenant, f"{tenant}.raw", "2026-11", before)
    with pytest.raises(StepError, match=r"one name: run its `ingest\.file` step again"):
        await around.run("ingest.replay", {"target_table": "${tenant_id}.raw", "slice": "2026-11"})


async def test_both_places_are_named_where_a_file_may_have_been_left(around: Surroundings) -> None:
    with pytest.raises(StepError, match=r"no file matches .* in your folder of .* and in gs://"):
        await around.run("ingest.file", config("aws/*.csv"))


async def test_https_with_a_key(around: Surroundings, clouds: Clouds) -> None:
    clouds.objects["secret/x.csv"] = BILL
    url = f"{clouds.url}/web/secret/x.csv"
    with pytest.raises(StepError, match="answered 401"):
        await around.run("ingest.file", config(url))
    assert (await around.run("ingest.file", config(url, "web"))).rows == 2
    with pytest.raises(StepError, match="no file matches"):
        await around.run("ingest.file", config(f"{clouds.url}/web/none.csv"))


@pytest.mark.parametrize(
    "more",
    [
        {"files": "https://169.254.169.254/latest/meta-data"},
        {"files": "https://127.0.0.1/x.csv"},
        {"files": "http://example.com/x.csv"},
        {"files": "s3://bills/x/*", "endpoint": "https://10.0.0.1"},
        {"files": "gs://bills/x/*", "endpoint": "https://[::1]"},
        {"files": "gs://bills/x/*", "credential": "inside"},
    ],
)
async def test_no_source_leads_inside(around: Surroundings, more: dict[str, str]) -> None:
    async with serve_clouds({}) as clouds:
        inside = {**clouds.service_account, "token_uri": "https://169.254.169.254/token"}
        around.credentials.known["inside"] = Credential("GCP", inside)
        around.tools = replace(around.tools, outgoing=Outgoing(OutgoingRules()))
        with pytest.raises(StepError, match=r"not public|only https") as caught:
            await around.run("ingest.file", {**config("-"), **more})
        assert not isinstance(caught.value, StepRetryError)
        await around.tools.outgoing.close()


PACKED = gzip.compress(BILL, mtime=0)
LINES = b'{"account": "007"}\n{"account": "008"}\n'


def parquet() -> bytes:
    pq.write_table(pa.table({"account": ["007", "008"]}), (file := BytesIO()))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", PACKED),
        ("a.csv.gz", PACKED),
        ("twice.csv.gz", gzip.compress(PACKED)),
        ("a.ndjson", gzip.compress(LINES)),
        ("a.parquet", gzip.compress(parquet())),
        ("twice.parquet.gz", gzip.compress(gzip.compress(parquet()))),
        ("plain.csv", BILL),
    ],
    ids=["CSV", "CSV.gz", "CSV twice", "JSON", "Parquet", "Parquet twice", "nothing"],
)
async def test_what_is_said_to_be_packed_is_read_and_refused_where_it_was_cut(
    around: Surroundings, clouds: Clouds, name: str, content: bytes
) -> None:
    clouds.objects |= {f"{kind}/{name}": content for kind in ("whole", "cut")}
    clouds.objects[f"cut/{name}"] = content[:-5]
    clouds.packing |= {f"{kind}/{name}": "gzip" for kind in ("whole", "cut")}
    for way in (f"{clouds.url}/web", "s3://bills"):
        said = (
            s3(clouds, f"{way}/whole/{name}")
            if way == "s3://bills"
            else config(f"{way}/whole/{name}")
        )
        assert (await around.run("ingest.file", said)).rows == 2
        if name != "plain.csv":
            said["files"] = f"{way}/cut/{name}"
            with pytest.raises(StepError, match="ends too early or is damaged") as caught:
                await around.run("ingest.file", said)
            assert caught.value.code == "file_refused"


async def test_a_packed_file_is_as_long_as_it_is_listed(
    around: Surroundings, clouds: Clouds
) -> None:
    """Two pieces of gzip, of which one alone would be whole."""
    first = gzip.compress(BILL, mtime=0)
    clouds.objects["p/a.csv"] = first + gzip.compress(b"009,3\n", mtime=0)
    clouds.packing["p/a.csv"] = "gzip"
    clouds.cut["p/a.csv"] = len(first)
    assert (await around.run("ingest.file", s3(clouds, "s3://bills/p/*"))).rows == 3
    assert len(clouds.asked) == 3


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", PACKED, 2),
        ("pieces.csv", PACKED + gzip.compress(b"009,3\n", mtime=0), 3),
        ("a.csv.gz", gzip.compress(PACKED), 2),
        ("a.parquet", gzip.compress(parquet()), 2),
        ("large.csv", gzip.compress(b"id\n" + os.urandom(9 << 20).hex("\n", 30).encode()), 314573),
        ("cut.csv", PACKED[:-9], None),
    ],
    ids=["CSV", "pieces", "CSV twice", "Parquet", "larger than what is fetched at once", "cut"],
)
async def test_what_was_packed_on_its_way_to_the_landing_bucket_is_read(
    around: Surroundings, name: str, content: bytes, rows: int | None
) -> None:
    data = around.tools.data
    await data.write(f"landing/{around.tenant}/{name}", content)
    await say_packed(around, f"landing/{around.tenant}/{name}")
    if rows is not None:
        assert (await around.run("ingest.file", config(name))).rows == rows
        return
    with pytest.raises(StepError, match="ends too early or is damaged"):
        await around.run("ingest.file", config(name))


async def say_packed(around: Surroundings, name: str) -> None:
    url = f"http://127.0.0.1:{emulators()['storage'].ports['http']}/storage/v1/b/test-data/o/"
    said = {"contentEncoding": "gzip"}
    async with ClientSession() as session, session.patch(url + quote(name, ""), json=said) as done:
        assert done.status == 200


@pytest.mark.parametrize(
    ("status", "said"), [(206, "GoogleAPICallError: 206 was"), (403, "may not")]
)
async def test_what_goes_wrong_in_the_landing_bucket_quotes_no_rows(
    tmp_path: Path, status: int, said: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text="it may not" if status == 403 else "canary,1")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        data = Objects(BucketSettings("p", "b", str(server.make_url("")), at_once=1))
        with pytest.raises(ObjectsError, match=f"for fetching x: .*{said}") as caught:
            await data.download("x", tmp_path / "x")
        assert "canary" not in "".join(format_exception(caught.value))
        data.close()


async def test_what_a_server_has_in_two_forms_is_read_as_it_is(
    around: Surroundings, clouds: Clouds
) -> None:
    clouds.objects["twofold/a.csv"] = BILL
    for said in (config(f"{clouds.url}/web/twofold/a.csv"), s3(clouds, "s3://bills/twofold/*")):
        assert (await around.run("ingest.file", said)).rows == 2
    assert len(clouds.asked) == 4


@pytest.mark.parametrize("packing", ["br", "deflate", "gzip, zstd", "X-Compress"])
async def test_what_is_packed_otherwise_is_refused(
    around: Surroundings, clouds: Clouds, packing: str
) -> None:
    clouds.objects["p/a.csv"] = BILL
    clouds.packing["p/a.csv"] = packing
    with pytest.raises(
        StepError, match=r"p/a\.csv: it comes packed with (br|deflate|zstd|compress)"
    ):
        await around.run("ingest.file", s3(clouds, "s3://bills/p/*"))


@pytest.mark.parametrize("packing", ["utf-8", "aws-chunked", "identity"])
async def test_what_is_only_said_to_be_encoded_is_read(
    around: Surroundings, clouds: Clouds, packing: str
) -> None:
    clouds.objects["p/a.csv"] = BILL
    clouds.packing["p/a.csv"] = packing
    assert (await around.run("ingest.file", s3(clouds, "s3://bills/p/*"))).rows == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [(gzip.compress(b"the link is too old"), "too old"), (b"no gzip", "may not read")],
    ids=["packed", "not packed"],
)
async def test_a_refusal_is_quoted_also_where_it_comes_packed(
    around: Surroundings, clouds: Clouds, body: bytes, said: str
) -> None:
    clouds.objects["refused/a.csv"], clouds.packing["refused/a.csv"] = body, "gzip"
    with pytest.raises(StepError, match=f"answered 403.*{said}"):
        await around.run("ingest.file", config(f"{clouds.url}/web/refused/a.csv"))


async def test_manifests_and_pages_may_be_packed(around: Surroundings, clouds: Clouds) -> None:
    clouds.objects |= {"r/Manifest.json": gzip.compress(aws_manifest("r/1.csv")), "r/1.csv": BILL}
    clouds.packing["r/Manifest.json"] = "gzip"
    said = s3(clouds, "s3://bills/r/Manifest.json", manifest="aws")
    assert (await around.run("ingest.file", said)).rows == 2
    around.deliver("openai/1.json", gzip.compress(openai_page(JULY, None, 1)))
    assert (await around.run("ingest.file", config("openai/1.json", manifest="openai"))).rows == 1


def aws_manifest(*names: str) -> bytes:
    said = {
        "assemblyId": "1",
        "bucket": "bills",
        "billingPeriod": {"start": "20261101T000000.000Z", "end": "20261201T000000.000Z"},
        "reportKeys": list(names),
    }
    return orjson.dumps(said)


async def test_a_manifest_of_aws_says_which_files_are_the_delivery(
    around: Surroundings, clouds: Clouds
) -> None:
    folder = "r/20261101-20261201"
    clouds.objects |= {
        f"{folder}/r-Manifest.json": aws_manifest(f"{folder}/new/r-1.csv", f"{folder}/new/r-2.csv"),
        f"{folder}/old/r-1.csv": BILL,
        f"{folder}/new/r-1.csv": BILL,
        f"{folder}/new/r-2.csv": BILL,
    }
    files = "s3://bills/r/{period.start_compact}-{period.end_compact}/*-Manifest.json"
    assert (await around.run("ingest.file", s3(clouds, files, manifest="aws"))).rows == 4
    assert await loaded_files(around) == [f"{folder}/new/r-1.csv", f"{folder}/new/r-2.csv"]
    del clouds.objects[f"{folder}/new/r-2.csv"]
    with pytest.raises(StepError, match=r"new/r-2\.csv is not there"):
        await around.run("ingest.file", s3(clouds, files, manifest="aws"))


async def test_an_export_of_aws_and_a_copied_folder_are_found_by_their_manifest(
    around: Surroundings,
) -> None:
    said = {"dataFiles": ["s3://bills/p/e/data/BILLING_PERIOD=2026-11/e-1.csv"]}
    around.deliver("e/e-Manifest.json", orjson.dumps(said))
    around.deliver("e/e-1.csv", BILL)
    done = await around.run("ingest.file", config("e/*-Manifest.json", manifest="aws"))
    assert done.rows == 2
    assert await loaded_files(around) == ["e/e-1.csv"]


async def left_in_folder(around: Surroundings, name: str, content: bytes, turn: int) -> None:
    around.deliver(name, content)
    os.utime(around.landing / str(around.tenant) / name, (START + turn, START + turn))


async def left_in_bucket(around: Surroundings, name: str, content: bytes, turn: int) -> None:
    """Written until its time is later than that of all that was there, which may take a while."""
    data, root = around.tools.data, f"landing/{around.tenant}/"

    async def times() -> dict[str, datetime]:
        return {e.name: e.updated for e in await data.list(root, 10) if e.updated is not None}

    before = await times()
    assert (not before) is (turn == 0)
    while True:
        await data.write(f"{root}{name}", content)
        now = (await times())[f"{root}{name}"]
        if all(now > each for each in before.values()):
            return


@pytest.mark.parametrize("leave", [left_in_folder, left_in_bucket])
async def test_the_newest_manifest_of_a_landing_place_counts_whatever_it_is_called(
    around: Surroundings, leave: Callable[[Surroundings, str, bytes, int], Awaitable[None]]
) -> None:
    """AWS writes a folder for each assembly, of which the names tell no order."""
    for turn, assembly in enumerate(("zz-old", "aa-new", "mm-newest")):
        await leave(around, f"r/{assembly}/r-1.csv", BILL, 3 * turn)
        said = aws_manifest(f"r/{assembly}/r-1.csv")
        await leave(around, f"r/{assembly}/r-Manifest.json", said, 3 * turn + 1)
        done = await around.run("ingest.file", config("r/*/*-Manifest.json", manifest="aws"))
        assert done.rows == 2
        assert await loaded_files(around) == [f"r/{assembly}/r-1.csv"]


def azure_manifest(at: str, *blobs: tuple[str, int]) -> bytes:
    said = {
        "manifestVersion": "2024-04-01",
        "blobCount": len(blobs),
        "blobs": [{"blobName": name, "byteCount": size} for name, size in blobs],
        "runInfo": {"runId": at, "submittedTime": at, "startDate": "2026-11-01T00:00:00"},
    }
    return orjson.dumps(said)


async def test_the_newest_whole_run_of_azure_is_read(around: Surroundings) -> None:
    def run(day: str, size: int, content: bytes = BILL) -> None:
        name = f"x/20261101-20261130/{day}/part_0_0001.csv"
        around.deliver(name, content)
        manifest = azure_manifest(f"2026-11-{day}T06:00:00Z", (name, size))
        around.deliver(f"x/20261101-20261130/{day}/manifest.json", manifest)

    month = "x/{period.start_compact}-{period.last_compact}/*/manifest.json"
    run("20", len(BILL))
    run("21", len(BILL))
    run("22", len(BILL) + 1)  # still being written
    assert (await around.run("ingest.file", config(month, manifest="azure"))).rows == 2
    assert await loaded_files(around) == ["x/20261101-20261130/21/part_0_0001.csv"]


async def test_an_older_run_does_not_replace_a_newer_one(around: Surroundings) -> None:
    def run(day: str, *blobs: tuple[str, int]) -> None:
        manifest = azure_manifest(f"2026-11-{day}T06:00:00Z", *blobs)
        around.deliver(f"x/{day}/manifest.json", manifest)

    every = config("x/*/manifest.json", manifest="azure")
    around.deliver("x/01/p.csv", BILL)
    run("01", ("x/01/p.csv", len(BILL)))
    around.deliver("x/02/p.csv", BILL + b"a,9\n")
    run("02", ("x/02/p.csv", len(BILL) + 4))
    assert (await around.run("ingest.file", every)).rows == 3
    run("03")
    assert (await around.run("ingest.file", every)).rows == 3  # a run of no file is none
    (around.landing / str(around.tenant) / "x/02/p.csv").unlink()
    with pytest.raises(StepError, match=r"is of 2026-11-01T06:00:00Z, and .* 2026-11-02T06:00:00Z"):
        await around.run("ingest.file", every)
    assert len(await around.rows("SELECT * FROM $.raw")) == 3
    alone = config("x/01/manifest.json", manifest="azure")
    assert (await around.run("ingest.file", alone)).rows == 2


async def test_two_files_of_a_manifest_are_not_the_same_one(around: Surroundings) -> None:
    around.deliver("c/part-1.csv", BILL)
    around.deliver("c/r-Manifest.json", aws_manifest("x/a/part-1.csv", "x/b/part-1.csv"))
    said = config("c/*-Manifest.json", manifest="aws")
    with pytest.raises(StepError, match=r"x/b/part-1\.csv is not there"):
        await around.run("ingest.file", said)
    around.deliver("c/a/part-1.csv", BILL)
    around.deliver("c/b/part-1.csv", BILL)
    assert (await around.run("ingest.file", said)).rows == 4
    assert await loaded_files(around) == ["c/a/part-1.csv", "c/b/part-1.csv"]


async def test_a_file_of_the_landing_bucket_is_read_as_it_was_listed(
    around: Surroundings, tmp_path: Path
) -> None:
    data, tenant = around.tools.data, str(around.tenant)
    bucket = LandingBucket(data, tenant)
    either = Either(LocalFolder(around.landing, tenant), bucket)
    await data.write(f"landing/{tenant}/a.csv", BILL)
    (file,) = await find(bucket, "a.csv")
    assert (await either.fetch(file, tmp_path / "a")).read_bytes() == BILL
    await data.write(f"landing/{tenant}/a.csv", BILL.replace(b"2", b"9"))
    with pytest.raises(ChangedError):
        await either.fetch(file, tmp_path / "a")
    await data.delete(f"landing/{tenant}/a.csv")
    with pytest.raises(ChangedError):
        await bucket.fetch(file, tmp_path / "a")


async def test_a_file_of_the_landing_folder_that_has_gone_is_not_looked_for_elsewhere(
    around: Surroundings, tmp_path: Path
) -> None:
    data, tenant = around.tools.data, str(around.tenant)
    either = Either(LocalFolder(around.landing, tenant), LandingBucket(data, tenant))
    await data.write(f"landing/{tenant}/b.csv", b"other")
    around.deliver("b.csv", BILL)
    (file,) = await find(either, "b.csv")
    assert (await either.fetch(file, tmp_path / "b")).read_bytes() == BILL
    (around.landing / tenant / "b.csv").unlink()
    with pytest.raises(ChangedError):
        await either.fetch(file, tmp_path / "b")


async def test_parquet_as_programs_write_it_is_loaded(around: Surroundings) -> None:
    def deliver(units: int) -> None:
        held = {
            "service": pa.array(["EC2", "S3"]).dictionary_encode(),
            "units": pa.array([Decimal(3), Decimal(units)], pa.decimal128(38, 0)),
        }
        pq.write_table(pa.table(held), (file := BytesIO()))
        around.deliver("a.parquet", file.getvalue())

    deliver(10**20 - 1)
    await around.run("ingest.file", config("a.parquet"))
    deliver(10**20)
    said = r"a\.parquet, column units: row 2: 10{20} is too large: 20 digits may stand before the"
    with pytest.raises(StepError, match=said):
        await around.run("ingest.file", config("a.parquet"))
    rows = await around.rows("SELECT service, units FROM $.raw ORDER BY service")
    found = [{"service": "EC2", "units": 3}, {"service": "S3", "units": 10**20 - 1}]
    assert rows == found
    text = config("a.parquet", columns={"units": "text"}, target_table="${tenant_id}.texts")
    assert (await around.run("ingest.file", text)).rows == 2


@pytest.mark.parametrize("delimiter", ["€", '"', "\n", "\r", "", ",,"])
async def test_what_cannot_delimit_is_refused(around: Surroundings, delimiter: str) -> None:
    around.deliver("a.csv", BILL)
    with pytest.raises(StepError) as caught:
        await around.run("ingest.file", config("a.csv", delimiter=delimiter))
    assert caught.value.code == "invalid_config"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "this is not JSON"),
        (b"[]", "not a manifest of aws"),
        (b"{}", "not a manifest of aws: KeyError 'dataFiles'"),
        (aws_manifest(), "it lists no file"),
        (aws_manifest("../other/x.csv"), "it names"),
        (b'{"dataFiles": ["s3://bucket"]}', "not a manifest of aws: IndexError"),
    ],
)
async def test_what_is_no_manifest_is_refused(
    around: Surroundings, content: bytes, said: str
) -> None:
    around.deliver("m/Manifest.json", content)
    with pytest.raises(StepError, match=said):
        await around.run("ingest.file", config("m/Manifest.json", manifest="aws"))


def openai_page(day: int, next_page: str | None, *amounts: float) -> bytes:
    results = [
        {"object": "organization.costs.result", "amount": {"value": amount, "currency": "usd"}}
        for amount in amounts
    ]
    bucket = {"object": "bucket", "start_time": day, "end_time": day + 86400, "results": results}
    page = {"object": "page", "data": [bucket], "has_more": next_page is not None}
    return orjson.dumps({**page, "next_page": next_page})


JULY, DAY = 1782864000, 86400


async def test_saved_pages_of_openai_become_costs_once_all_are_there(around: Surroundings) -> None:
    saved = config("openai/*.json", manifest="openai")
    around.deliver("openai/2.json", openai_page(JULY, "page_b", 0.06, 12))
    with pytest.raises(StepError, match="the last page is not there"):
        await around.run("ingest.file", saved)
    around.deliver("openai/1.json", openai_page(JULY + 86400, None, 7e-08))
    assert (await around.run("ingest.file", saved)).rows == 3
    focus = {"mapping": "openai_costs", "source_table": "${tenant_id}.raw", "slice": "2026-11"}
    assert (await around.run("cost.focus", focus)).rows == 3
    (row,) = await around.rows("SELECT SUM(BilledCost) AS c FROM $.focus_costs")
    assert str(row["c"].normalize()) == "12.06000007"


async def test_saved_pages_of_the_whole_month_are_read_and_those_of_no_day_among_them(
    around: Surroundings,
) -> None:
    around.deliver("openai/1.json", openai_page(START, "b", 1))
    around.deliver("openai/2.json", openai_page(START + DAY, "c", 2))
    around.deliver("openai/3.json", b'{"data": [], "has_more": false, "next_page": null}')
    assert (await around.run("ingest.file", config("openai/*.json", manifest="openai"))).rows == 2


async def test_of_saved_pages_no_more_than_one_lies_in_memory(tmp_path: Path) -> None:
    for number in range(8):
        following = None if number == 0 else str(number)
        page = openai_page(JULY - number * DAY, following, *[0.5] * 20_000)
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / f"{number}.json").write_bytes(page)
    place = LocalFolder(tmp_path, "a")
    peaks = []
    for number in (1, 8):
        files = (await find(place, "*.json"))[:number]
        tracemalloc.start()
        found = await delivered(place, "openai", files, tmp_path / "page")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.files == files[::-1]
    assert peaks[1] < 1.5 * peaks[0]


async def test_amounts_of_saved_pages_keep_every_digit_on_their_way_to_focus(
    around: Surroundings,
) -> None:
    fine = b"12345678901234567.123456789012345678"
    page = openai_page(JULY, None, 0.5, 1.25).replace(b"1.25", fine)
    around.deliver("openai/1.json", page)
    await around.run("ingest.file", config("openai/*.json", manifest="openai"))
    focus = {"mapping": "openai_costs", "source_table": "${tenant_id}.raw", "slice": "2026-11"}
    await around.run("cost.focus", focus)
    (row,) = await around.rows("SELECT SUM(BilledCost) AS c FROM $.focus_costs")
    assert row["c"] == Decimal("12345678901234567.623456789012345678")


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([b"{"], "this is not JSON"),
        ([b"[]"], "it is not a page of OpenAI"),
        ([openai_page(JULY, None, 1), openai_page(JULY, None, 1)], "one page for each"),
        (
            [openai_page(JULY, "b", 1), openai_page(JULY + 2 * DAY, None, 1)],
            r"1\.json: what lies between end_time 1782950400 and start_time 1783036800 is",
        ),
        (
            [openai_page(JULY, "b", 1), openai_page(JULY + DAY // 2, None, 1)],
            "what lies between end_time 1782950400 and start_time 1782907200 is not there",
        ),
        (
            [openai_page(START + DAY, "b", 1), openai_page(START + 2 * DAY, None, 1)],
            r"0\.json: the page before it, which begins on 2026-11-01 is not there",
        ),
    ],
)
async def test_pages_that_do_not_follow_each_other_are_refused(
    around: Surroundings, pages: list[bytes], said: str
) -> None:
    for number, page in enumerate(pages):
        around.deliver(f"openai/{number}.json", page)
    with pytest.raises(StepError, match=said):
        await around.run("ingest.file", config("openai/*.json", manifest="openai"))
