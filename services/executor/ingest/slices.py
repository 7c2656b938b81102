"""Stage, check, swap: a slice of a table is replaced whole, in one transaction, or not at all."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from libs.warehouse.jobs import JobResult, LoadJob, QueryJob
from libs.warehouse.schema import Column, Table
from libs.warehouse.warehouse import Warehouse
from services.executor.ingest.errors import ChangedError

LOAD = "load"
Inspect = Callable[[str], Awaitable[Sequence[JobResult]]]
"""Given `dataset.table`; gives what its jobs did."""


@dataclass(frozen=True, slots=True)
class SliceLoad:
    """Rows in parts, to take the place of those that `where` selects."""

    stage_job: str
    swap_job: str
    staged: str
    """`dataset.table` for the rows until they are in their place."""
    target: Table
    """Its columns are those of the parts; none where the parts say them."""
    uris: tuple[str, ...]
    rows: int | None
    """How many there are in the parts; None where only the load tells."""
    where: str
    """Which rows give way; may speak of `{staged}` and `{target}`."""
    parameters: Mapping[str, object]
    filled: Mapping[str, str] = field(default_factory=dict)
    """Columns of the target that the staged rows have not: what stands there instead."""
    only: str = ""
    """Which of the staged rows take their place: all, unless said."""
    declared: str = ""
    """A statement ahead of the transaction, for the variables that the others use."""
    before: Sequence[str] = ()
    """Statements for the same transaction, ahead of the swap; `{staged}` is the new rows' table."""
    staged_only: Sequence[Column] = ()
    """Columns of the staged rows that the target has not."""
    beside: Sequence[Table] = ()
    """Tables that these statements need."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """`LOAD` names what is loaded, where the same try may find something else to load."""


class RowsLostError(Exception):
    """BigQuery did not take in as many rows as were written; nothing was swapped."""

    def __init__(self, table: str, written: int, staged: int) -> None:
        super().__init__(f"{table}: {written} rows were written but {staged} arrived")


class SliceLoader:
    """Safe to share. Every job has an id made from the caller's, so that it happens once."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def replace(
        self, load: SliceLoad, inspect: Inspect | None = None
    ) -> tuple[JobResult, ...]:
        """What the jobs did. `inspect` sees the staged rows before they take their place.

        Raises `JobFailedError`, `UnavailableError`, `RowsLostError`, and what `inspect` raises.
        """
        await self._warehouse.ensure(load.target, *load.beside)
        jobs = [await self.stage(load)] if load.uris else []
        if inspect is not None and load.uris:
            jobs += await inspect(load.staged)
        return (*jobs, await self._swap(load))

    async def stage(self, load: SliceLoad) -> JobResult:
        """The rows beside their place. Raises as `replace` does."""
        job = LoadJob(
            job_id=load.stage_job,
            uris=load.uris,
            destination=load.staged,
            source_format="PARQUET",
            write_disposition="WRITE_TRUNCATE",
            schema=(*load.target.columns, *load.staged_only),
            labels=load.labels,
        )
        done = _of_this(load, await self._warehouse.run_load_job(job))
        if load.rows is not None and done.rows != load.rows:
            raise RowsLostError(load.target.path, load.rows, done.rows)
        return done

    async def swap(self, load: SliceLoad) -> JobResult:
        """Rows that were staged take their place. Raises as `replace` does."""
        await self._warehouse.ensure(load.target, *load.beside)
        return await self._swap(load)

    async def _swap(self, load: SliceLoad) -> JobResult:
        swap = QueryJob(
            job_id=load.swap_job,
            sql=self._statements(load),
            parameters=load.parameters,
            labels=load.labels,
        )
        done = _of_this(load, await self._warehouse.run_query_job(swap))
        await self._warehouse.drop(load.staged)
        return done

    def _statements(self, load: SliceLoad) -> str:
        project, target = self._warehouse.project, load.target.path
        columns = [column.name for column in load.target.columns]
        names = ", ".join(f"`{name}`" for name in columns)
        values = ", ".join(load.filled.get(name, f"`{name}`") for name in columns)
        there, here = f"`{project}.{load.staged}`", f"`{project}.{target}`"

        def filled(text: str) -> str:
            return text.replace("{staged}", there).replace("{target}", here)

        statements = [filled(text) for text in load.before]
        statements.append(f"DELETE FROM {here} WHERE {filled(load.where)}")  # noqa: S608  checked
        if load.uris:
            statements.append(
                f"INSERT INTO {here} ({names}) SELECT {values} FROM {there} {filled(load.only)}"  # noqa: S608  as above
            )
        begin = [*filter(None, [load.declared]), "BEGIN TRANSACTION"]
        return f"{'; '.join([*begin, *statements])}; COMMIT TRANSACTION;"


def _of_this(load: SliceLoad, done: JobResult) -> JobResult:
    """A job that was adopted may be of an earlier try, which found other files."""
    if done.adopted and done.labels.get(LOAD) != load.labels.get(LOAD):
        raise ChangedError(load.target.path, "begun to be loaded from files that changed since")
    return done
