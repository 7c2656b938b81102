"""The Storage Write API of the BigQuery emulator, through Google's client."""

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from google.api_core import exceptions
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.writer import AppendRowsStream
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.wrappers_pb2 import Int64Value

from libs.testing.processes import emulator
from tests.libs.local_cloud.bigquery_suite import Books, books, connect, field, fresh, writer

__all__ = ["books"]
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FIELDS = (
    field("id", "STRING", "REQUIRED"),
    field("n", "INTEGER"),
    field("at", "TIMESTAMP"),
    field("cost", "NUMERIC"),
    field("data", "JSON"),
    field("tags", "STRING", "REPEATED"),
    field("labels", "RECORD", "REPEATED", field("key", "STRING"), field("value", "STRING")),
)
LABELS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
ARROW = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("n", pa.int64()),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("cost", pa.decimal128(38, 9)),
        pa.field("data", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("labels", LABELS),
    ]
)


def stream_of(books: Books, table: str) -> str:
    path = f"projects/{books.client.project}/datasets/{books.name}/tables/{table}"
    return f"{path}/streams/_default"


def arrow(
    rows: list[dict[str, Any]], schema: pa.Schema = ARROW, stream: str = "", *, first: bool = True
) -> types.AppendRowsRequest:
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    data = types.AppendRowsRequest.ArrowData(
        rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes())
    )
    if first:
        serialized = schema.serialize().to_pybytes()
        data.writer_schema = types.ArrowSchema(serialized_schema=serialized)
    return types.AppendRowsRequest(write_stream=stream, arrow_rows=data)


def append(books: Books, requests: Iterable[Any]) -> list[Any]:
    return list(writer(books.ports).append_rows(requests=iter(list(requests)), timeout=60))


KINDS = {"STRING": 9, "INTEGER": 3, "BYTES": 12}


class Proto:
    """A message type made for one test, as a writer would generate one."""

    def __init__(self, **fields: str) -> None:
        file = descriptor_pb2.FileDescriptorProto(name=f"{uuid4().hex}.proto", package="test")
        self.descriptor = file.message_type.add(name="Row")
        for number, (name, kind) in enumerate(fields.items(), 1):
            self.descriptor.field.add(name=name, number=number, type=KINDS[kind], label=1)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        self._class = message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Row"))

    def request(self, rows: list[dict[str, Any]], stream: str = "") -> types.AppendRowsRequest:
        serialized = [self._class(**row).SerializeToString() for row in rows]
        data = types.AppendRowsRequest.ProtoData(rows=types.ProtoRows(serialized_rows=serialized))
        if stream:
            data.writer_schema = types.ProtoSchema(proto_descriptor=self.descriptor)
        return types.AppendRowsRequest(write_stream=stream, proto_rows=data)


def test_arrow_rows_arrive_as_they_are(books: Books) -> None:
    books.create("t", *FIELDS)
    row = {
        "id": "one",
        "n": 7,
        "at": NOW,
        "cost": Decimal("1.25"),
        "data": '{"a": 1}',
        "tags": ["x", "y"],
        "labels": [{"key": "k", "value": "v"}],
    }
    append(books, [arrow([row], stream=stream_of(books, "t"))])
    sql = "SELECT id, n, at, cost, json_value(data, '$.a'), tags, labels FROM t"
    expected = ("one", 7, NOW, Decimal("1.25"), "1", ["x", "y"], [{"key": "k", "value": "v"}])
    assert books.rows(sql) == [expected]


def test_columns_may_be_absent_and_in_another_order(books: Books) -> None:
    books.create("t", *FIELDS)
    schema = pa.schema([("n", pa.int32()), ("id", pa.string())])
    append(books, [arrow([{"n": 1, "id": "a"}], schema, stream_of(books, "t"))])
    assert books.rows("SELECT id, n, at FROM t") == [("a", 1, None)]


def test_a_connection_takes_many_appends_and_remembers_its_stream(books: Books) -> None:
    books.create("t", *FIELDS)
    requests = [arrow([{"id": "0"}], stream=stream_of(books, "t"))]
    requests += [arrow([{"id": str(n)}], first=False) for n in range(1, 20)]
    assert not any(answer.error.code for answer in append(books, requests))
    assert books.rows("SELECT count(DISTINCT id) FROM t") == [(20,)]


def test_rows_of_protocol_buffers_arrive(books: Books) -> None:
    books.create("t", *FIELDS)
    proto = Proto(id="STRING", n="INTEGER", at="INTEGER", cost="STRING")
    micros = int(NOW.timestamp() * 1_000_000)
    row = {"id": "one", "n": 1, "at": micros, "cost": "2.5"}
    append(books, [proto.request([row], stream_of(books, "t")), proto.request([{"id": "two"}])])
    expected = [("one", 1, NOW, Decimal("2.5")), ("two", None, None, None)]
    assert books.rows("SELECT id, n, at, cost FROM t ORDER BY id") == expected


def test_the_clients_own_stream_object_works(books: Books) -> None:
    books.create("t", *FIELDS)
    proto = Proto(id="STRING")
    template = types.AppendRowsRequest(
        write_stream=stream_of(books, "t"),
        proto_rows=types.AppendRowsRequest.ProtoData(
            writer_schema=types.ProtoSchema(proto_descriptor=proto.descriptor)
        ),
    )
    stream = AppendRowsStream(writer(books.ports), template)
    sent = [stream.send(proto.request([{"id": str(n)}])) for n in range(5)]
    for future in sent:
        future.result(timeout=60)
    stream.close()
    assert books.rows("SELECT count(*) FROM t") == [(5,)]


@pytest.mark.parametrize(
    ("schema", "row", "message"),
    [
        (pa.schema([("id", pa.string()), ("other", pa.string())]), {"id": "a"}, "other"),
        (pa.schema([("id", pa.string()), ("n", pa.string())]), {"id": "a", "n": "x"}, "Field n"),
        (pa.schema([("n", pa.int64())]), {"n": 1}, "required field: id"),
    ],
    ids=["unknown column", "wrong type", "required column"],
)
def test_what_does_not_fit_is_refused_and_the_connection_lives(
    books: Books, schema: pa.Schema, row: dict[str, Any], message: str
) -> None:
    books.create("t", *FIELDS)
    stream = stream_of(books, "t")
    bad, good = append(
        books, [arrow([row], schema, stream), arrow([{"id": "fine"}], stream=stream)]
    )
    assert (bad.error.code, good.error.code) == (3, 0)
    assert message in bad.error.message
    assert books.rows("SELECT id FROM t") == [("fine",)]


def test_a_row_without_a_required_value_is_named(books: Books) -> None:
    books.create("t", *FIELDS)
    rows: list[dict[str, Any]] = [{"id": "a"}, {"id": None}, {"id": "c"}]
    (answer,) = append(books, [arrow(rows, stream=stream_of(books, "t"))])
    assert [error.index for error in answer.row_errors] == [1]
    assert books.rows("SELECT count(*) FROM t") == [(0,)]


def test_a_proto_field_that_the_table_has_not_is_refused(books: Books) -> None:
    books.create("t", *FIELDS)
    proto = Proto(id="STRING", other="STRING")
    (answer,) = append(books, [proto.request([{"id": "a"}], stream_of(books, "t"))])
    assert answer.error.code == 3
    assert "'other'" in answer.error.message


def test_a_table_that_does_not_exist_is_not_found(books: Books) -> None:
    with pytest.raises(exceptions.NotFound):
        append(books, [arrow([{"id": "a"}], stream=stream_of(books, "missing"))])


def test_a_column_added_later_is_taken_on_an_open_connection(books: Books) -> None:
    table = books.create("t", field("id", "STRING"))
    narrow = pa.schema([("id", pa.string())])
    wide = pa.schema([("id", pa.string()), ("n", pa.int64())])

    def requests() -> Iterator[types.AppendRowsRequest]:
        yield arrow([{"id": "a"}], narrow, stream_of(books, "t"))
        table.schema = [*table.schema, field("n", "INTEGER")]
        books.client.update_table(table, ["schema"])
        yield arrow([{"id": "b", "n": 1}], wide, stream_of(books, "t"))

    answers = list(writer(books.ports).append_rows(requests=requests(), timeout=60))
    assert [answer.error.code for answer in answers] == [0, 0]
    assert books.rows("SELECT id, n FROM t ORDER BY id") == [("a", None), ("b", 1)]


def test_committed_streams_count_offsets_and_pending_ones_wait(books: Books) -> None:
    books.create("t", *FIELDS)
    client, parent = writer(books.ports), stream_of(books, "t").partition("/streams")[0]

    def open_stream(kind: int) -> str:
        made = client.create_write_stream(parent=parent, write_stream=types.WriteStream(type_=kind))
        return str(made.name)

    def add(stream: str, offset: int) -> int:
        request = arrow([{"id": "a"}] * 10, stream=stream)
        request.offset = Int64Value(value=offset)
        (answer,) = append(books, [request])
        return int(answer.error.code)

    committed = open_stream(types.WriteStream.Type.COMMITTED)
    assert [add(committed, offset) for offset in (0, 10, 0)] == [0, 0, 6]  # ALREADY_EXISTS
    pending = open_stream(types.WriteStream.Type.PENDING)
    assert add(pending, 0) == 0
    assert books.rows("SELECT count(*) FROM t") == [(20,)]
    client.finalize_write_stream(name=pending)
    client.batch_commit_write_streams(
        types.BatchCommitWriteStreamsRequest(parent=parent, write_streams=[pending])
    )
    assert books.rows("SELECT count(*) FROM t") == [(30,)]


def test_many_open_connections_and_queries_go_on_together(books: Books) -> None:
    """More connections than the server has threads, all open until the last is written."""
    books.create("t", *FIELDS)
    together = threading.Barrier(12, timeout=120)
    failed: list[BaseException] = []

    def requests(number: int) -> Iterator[types.AppendRowsRequest]:
        yield arrow([{"id": f"{number}-first"}], stream=stream_of(books, "t"))
        together.wait()
        yield arrow([{"id": f"{number}-{n}"} for n in range(500)], first=False)

    def write(number: int) -> None:
        try:
            for answer in writer(books.ports).append_rows(requests=requests(number), timeout=120):
                assert not answer.error.code, answer.error
                books.rows("SELECT count(*) FROM t")
                books.run(f"INSERT t (id) VALUES ('{number}-query')")
        except BaseException as error:  # noqa: BLE001  reported by the test
            failed.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert books.rows("SELECT count(*) FROM t") == [(12 * (501 + 2),)]


def test_appends_do_not_wait_for_a_long_change(books: Books) -> None:
    books.create("t", *FIELDS)
    books.run("CREATE TABLE slow AS SELECT 1 AS a")
    change = books.query(
        "UPDATE slow SET a = (SELECT count(*) FROM unnest(generate_array(1, 60000)) x, "
        "unnest(generate_array(1, 60000)) y WHERE mod(x * y, 7) = 3) WHERE true"
    )
    append(books, [arrow([{"id": "a"}], stream=stream_of(books, "t"))])
    assert books.client.insert_rows_json(books.path("t"), [{"id": "b"}]) == []
    assert books.rows("SELECT count(*) FROM t") == [(2,)]
    assert books.client.get_job(change.job_id).state == "RUNNING"
    books.client.cancel_job(change.job_id)


def test_what_was_acknowledged_survives_a_crash(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    with emulator("bigquery", state_dir=tmp_path) as first:
        books = next(fresh(first.ports))
        books.create("t", field("n", "INTEGER"))
        schema = pa.schema([("n", pa.int64())])

        def requests() -> Iterator[types.AppendRowsRequest]:
            for n in range(100_000):
                yield arrow([{"n": n}], schema, stream_of(books, "t"))

        def append_until_it_dies() -> None:
            for answer in writer(first.ports).append_rows(requests=requests(), timeout=60):
                assert not answer.error.code
                acknowledged.append(len(acknowledged))
                if len(acknowledged) == 50:
                    first.kill()

        with pytest.raises(exceptions.GoogleAPICallError):
            append_until_it_dies()
    with emulator("bigquery", state_dir=tmp_path) as second:
        again = Books(connect(second.ports), books.name, second.ports)
        kept_rows = again.rows("SELECT n FROM t")
        assert set(acknowledged) <= {n for (n,) in kept_rows}
        assert len(kept_rows) == len(set(kept_rows))


def test_days_and_whole_numbers_keep_their_types(books: Books) -> None:
    books.create("t", field("d", "DATE"), field("big", "BIGNUMERIC"), field("raw", "BYTES"))
    schema = pa.schema([("d", pa.date32()), ("big", pa.decimal256(76, 38)), ("raw", pa.binary())])
    row = {"d": date(2026, 1, 2), "big": Decimal("0.123456789012345678"), "raw": b"\x00a"}
    append(books, [arrow([row], schema, stream_of(books, "t"))])
    assert books.rows("SELECT d, big, raw FROM t") == [tuple(row.values())]
