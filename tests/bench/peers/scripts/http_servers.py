"""A run accepted by other frameworks: `http_servers:by_fastapi` and `http_servers:by_starlette`.

The key is hashed and looked up, the body checked, the answer written; nothing is published, kept
or limited, and nothing is logged. `GET /cpu` says how much processor time the process has had.
"""

import hashlib
import os
import time
import uuid
from datetime import date
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TENANTS = {hashlib.sha256(os.environ["API_KEY"].encode()).digest(): "acme_cloud"}
RUN, CPU = "/api/v1/pipelines/run/{config_id}", "/cpu"


class Asked(BaseModel):
    date: date
    trigger_by: str


class Accepted(BaseModel):
    run_id: str
    pipeline_logging_id: str
    tenant_id: str
    pipeline_id: str
    status: str = "RUNNING"
    retry_of: str | None = None


def tenant_of(key: str) -> str | None:
    return TENANTS.get(hashlib.sha256(key.encode()).digest())


def accepted(tenant: str, config_id: str) -> Accepted:
    run_id = str(uuid.uuid4())
    return Accepted(
        run_id=run_id, pipeline_logging_id=run_id, tenant_id=tenant, pipeline_id=config_id
    )


by_fastapi = FastAPI()


async def known(x_api_key: Annotated[str, Header()]) -> str:
    tenant = tenant_of(x_api_key)
    if tenant is None:
        raise HTTPException(401)
    return tenant


@by_fastapi.post(RUN, status_code=202)
async def accept(config_id: str, asked: Asked, tenant: Annotated[str, Depends(known)]) -> Accepted:
    del asked
    return accepted(tenant, config_id)


@by_fastapi.get(CPU)
async def cpu() -> float:
    return time.process_time()


async def run(request: Request) -> JSONResponse:
    tenant = tenant_of(request.headers.get("x-api-key", ""))
    if tenant is None:
        return JSONResponse({"detail": "unknown key"}, 401)
    try:
        Asked.model_validate_json(await request.body())
    except ValidationError as error:
        return JSONResponse({"detail": error.errors()}, 422)
    answer = accepted(tenant, request.path_params["config_id"])
    return JSONResponse(answer.model_dump(), 202)


async def spent(_: Request) -> JSONResponse:
    return JSONResponse(time.process_time())


by_starlette = Starlette(routes=[Route(RUN, run, methods=["POST"]), Route(CPU, spent)])
