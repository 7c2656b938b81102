"""`compliance.ocsf`: delivered findings become OCSF Compliance Findings, the newest of each.

Unlike bills, findings have names that last: they are merged, and the latest wins; of
rows of one time, the last of the delivery.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from libs.warehouse.data_tables import FINDINGS, findings_table
from services.executor.ingest.deliveries import Delivery, folder_of, load_id_of
from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.parts import PartWriter, each
from services.executor.ingest.readers import ParquetFile
from services.executor.ingest.slices import SliceLoad, SliceLoader
from services.executor.ingest.spool import spooled
from services.executor.ocsf.finding import BadFindingError, Finding
from services.executor.ocsf.providers import READERS, Reader
from services.executor.ocsf.tables import NEWEST, POSITION, REPLACED, frame_of
from services.executor.steps.phrasing import phrased
from services.executor.steps.raw_load import RawLoader, slice_of
from services.executor.steps.step import StepResult, StepRun, StepType
from services.executor.steps.targets import target_of
from services.executor.steps.tools import Tools

READERS_VERSION = 3


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["aws_security_hub", "gcp_scc", "azure_assessment", "azure_policy"]
    source_table: str = Field(min_length=3, max_length=1400)
    slice: str = Field(min_length=1, max_length=300)
    whole: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,99})?$")
    """The column that holds each finding as JSON, where its fields have none of their own."""
    target_table: str = Field(default=f"${{tenant_id}}.{FINDINGS}", min_length=3, max_length=1400)


class ComplianceOcsf(StepType):
    carries_rows = True

    def __init__(self, tools: Tools) -> None:
        self._data = tools.data
        self._clock = tools.clock
        self._loader = RawLoader(tools)
        self._slices = SliceLoader(tools.warehouse)

    async def run(self, given: StepRun) -> StepResult:
        request, config = given.request, given.config(Config)
        source, target = (
            target_of(config.source_table, request),
            target_of(config.target_table, request),
        )
        slice_ = slice_of(config.slice, request)
        tenant, made_of = str(request.tenant_id), f"{source}.{slice_}"
        with phrased():
            delivery = await self._loader.deliveries.delivered(tenant, source, slice_)
            said = {"delivery": delivery.load_id, "source": config.source, "v": READERS_VERSION}
            load_id = load_id_of((), said)
            folder = folder_of(tenant, target, made_of, load_id)
            with spooled("ocsf") as spool:
                async with PartWriter(self._data, folder, spool) as parts:
                    reader = _of_json(config.whole, READERS[config.source])
                    await self._convert(reader, delivery, parts, load_id)
            given.spent.add(*await self._slices.replace(_merge(given, target, parts)))
            await self._data.delete(*parts.names)
        return StepResult(parts.rows)

    async def cancel(self, given: StepRun) -> None:
        await self._loader.cancel(given)

    async def _convert(
        self, reader: Reader, delivery: Delivery, parts: PartWriter, load_id: str
    ) -> None:
        # What says nothing of its time holds when it was delivered, however late it is read again.
        now = delivery.at or self._clock()
        for name in delivery.parts:
            path = parts.folder / "delivered"
            await self._data.download(name, path)
            async for batch in each(ParquetFile(path, name).batches()):
                findings = await asyncio.to_thread(
                    lambda rows: [_read(reader, row, now) for row in rows], batch.to_dicts()
                )
                await parts.add(frame_of(findings, load_id, parts.rows))
        await parts.finish()


def _of_json(column: str, reader: Reader) -> Reader:
    """Reads a finding out of a column of JSON; as it is where none is said."""
    if not column:
        return reader

    def read(row: Mapping[str, Any], now: datetime) -> Finding:
        written = row.get(column)
        try:
            found = orjson.loads(written if isinstance(written, str | bytes) else "")
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise BadFindingError(f"JSON object in its column {column}")
        return reader(found, now)

    return read


def _read(reader: Reader, row: dict[str, object], now: datetime) -> Finding:
    try:
        return reader(row, now)
    except BadFindingError as error:
        file, number = str(row["x_file"]), int(str(row["x_row"])) + 1
        raise RefusedFileError(file, f"record {number}: {error}") from None


def _merge(given: StepRun, target: str, parts: PartWriter) -> SliceLoad:
    dataset, _, name = target.partition(".")
    return SliceLoad(
        stage_job=given.job_id_of("stage"),
        swap_job=given.job_id_of("swap"),
        staged=given.staging_table,
        target=findings_table(dataset, name),
        uris=parts.uris,
        rows=parts.rows,
        where=REPLACED if parts.uris else "FALSE",
        only=NEWEST,
        staged_only=(POSITION,),
        parameters={},
        labels=given.labels,
    )
