"""Every step type there is: one line each."""

from collections.abc import Mapping

from services.executor.steps.bq_etl_query import BqEtlQuery
from services.executor.steps.compliance_ocsf import ComplianceOcsf
from services.executor.steps.cost_focus import CostFocus
from services.executor.steps.dq_check import DqCheck
from services.executor.steps.ingest_api import IngestApi
from services.executor.steps.ingest_file import IngestFile
from services.executor.steps.ingest_replay import IngestReplay
from services.executor.steps.notify_webhook import NotifyWebhook
from services.executor.steps.step import StepType
from services.executor.steps.tools import Tools
from services.executor.steps.transform_sql import TransformSql


def step_types(tools: Tools) -> Mapping[str, StepType]:
    return {
        "bq_etl.query": BqEtlQuery(tools),
        "dq.check": DqCheck(tools),
        "notify.webhook": NotifyWebhook(tools),
        "transform.sql": TransformSql(tools),
        "ingest.api": IngestApi(tools),
        "ingest.file": IngestFile(tools),
        "ingest.replay": IngestReplay(tools),
        "compliance.ocsf": ComplianceOcsf(tools),
        "cost.focus": CostFocus(tools),
    }
