"""What the fields of the examples hold: one tenant's Saturday morning.

Looked up as `Model.field` and then as `field`. A field of parts that is not
named here is made of its own fields.
"""

from typing import Any

SUBMITTED_AT = "2026-03-14T09:26:53.589000Z"
STARTED_AT = "2026-03-14T09:26:54.120000Z"
FINISHED_AT = "2026-03-14T09:27:31.402000Z"

_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_OLD_HASH = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
_RUN = "6f1c2b1e-5a0f-4f6e-9a59-0d4c8e6b7a21"
_CAUSE = "0b6f3f0e-7d52-4c0a-8f6e-2f4a4f1f9a10"
_SOURCE = """\
pipeline_id: cost_by_service
steps:
  - step_id: by_service
    ps_type: bq_etl.query
"""
_FAILURE = {
    "code": "query_refused",
    "detail": "BigQuery: Unrecognized name: servce at [1:8]",
    "step_id": "by_service",
}

TENANT: dict[str, Any] = {
    "tenant_id": "acme_cloud",
    "company_name": "Acme Cloud GmbH",
    "admin_email": "finops@acme.example",
    "description": "FinOps of Acme's three clouds",
    "plan": "PROFESSIONAL",
    "tenant_status": "ACTIVE",
    "TenantPart.status": "ACTIVE",
    "daily": 25,
    "monthly": 750,
    "concurrent": 5,
    "max_team": 10,
    "LimitOverridesPart.monthly": None,
    "LimitOverridesPart.daily": 40,
    "LimitOverridesPart.concurrent": None,
    "used_today": 7,
    "used_this_month": 212,
    "running": 1,
    "queued": 2,
    "suspended": False,
    "day_resets_at": "2026-03-15T00:00:00Z",
    "month_resets_at": "2026-04-01T00:00:00Z",
    "datasets": ["acme_cloud", "acme_cloud_raw_openai"],
    "drop_datasets": True,
    "dropped_datasets": ["acme_cloud_raw_openai"],
    "kept_datasets": ["acme_cloud"],
    "SuspendTenantV1.reason": "the invoice of February is not paid",
    "TenantSuspendedV1.reason": "the invoice of February is not paid",
    "requested_by": "tenant:maria",
    "created_at": "2026-01-05T08:00:00Z",
    "updated_at": "2026-02-11T16:45:10Z",
    "ListTenantsV1.after": "abacus",
    "TenantListV1.next_after": "acme_cloud",
}

KEYS_AND_CREDENTIALS: dict[str, Any] = {
    "key_hash": _HASH,
    "old_key_hash": _OLD_HASH,
    "last_four": "x7Qz",
    "scopes": ["runs:write", "runs:read"],
    "KeyPart.description": "nightly jobs",
    "expires_at": "2027-03-14T00:00:00Z",
    "overlap_until": "2026-03-21T09:26:53Z",
    "revoked_at": SUBMITTED_AT,
    "StoredKeyPart.revoked_at": None,
    "is_active": True,
    "created_by": "tenant:maria",
    "credential_id": "gcp-billing",
    "provider": "GCP",
    "CredentialStoredV1.action": "CREATED",
    "SealedPart.version": 1,
    "kms_key": "projects/convergence/locations/europe/keyRings/tenants/cryptoKeys/credentials",
    "wrapped_key": "CiQAtHJhcHBlZCBieSBDbG91ZCBLTVM=",
    "nonce": "bm9uY2Vfb2ZfMTI=",
    "ciphertext": "c2VhbGVkIHdpdGggQUVTLTI1Ni1HQ00=",
}

PIPELINES: dict[str, Any] = {
    "config_id": "cost_by_service",
    "pipeline_id": "cost_by_service",
    "DefinitionPart.name": "Cost by service",
    "DefinitionPart.description": "What each service cost, a day at a time",
    "DefinitionPart.version": "1.2.0",
    "StepPart.type": "bq_etl.query",
    "StepPart.config": {
        "source_query": "SELECT service, SUM(cost) AS cost FROM acme_cloud.bill GROUP BY service",
        "target_table": "acme_cloud.cost_by_service",
    },
    "StepPart.needs": [],
    "on_failure": "stop",
    "timeout_seconds": 900,
    "source": _SOURCE,
    "revision": 4,
    "if_revision": 3,
    "saved_at": SUBMITTED_AT,
    "saved_by": "tenant:maria",
    "ListConfigsV1.after": "bill_import",
    "ConfigListV1.next_after": "cost_by_service",
}

RUNS: dict[str, Any] = {
    "run_id": _RUN,
    "run_date": "2026-03-13",
    "parameters": {"region": "eu", "days": 7, "dry": False},
    "type": "api",
    "by": "key:x7Qz",
    "user_id": "maria",
    "priority": 10,
    "attempt": 1,
    "max_bytes_billed": 107_374_182_400,
    "lease_seconds": 45.0,
    "submitted_at": SUBMITTED_AT,
    "started_at": STARTED_AT,
    "finished_at": FINISHED_AT,
    "RunFinishedV1.status": "COMPLETED",
    "RunFinishedV1.error": None,
    "AttemptFinishedV1.status": "FAILED",
    "AttemptFinishedV1.error": _FAILURE,
    "RunPart.status": "FAILED",
    "RunPart.error": _FAILURE,
    "ListRunsV1.status": "FAILED",
    "position": 2,
    "RunQueuedV1.reason": "all 5 concurrent runs of the plan are taken",
    "RunRejectedV1.code": "quota_exceeded",
    "RunRejectedV1.limit": "daily",
    "RunRejectedV1.reason": "the daily limit of 25 runs is used up",
    "resets_at": "2026-03-15T00:00:00Z",
    "from_date": "2026-03-01",
    "to_date": "2026-03-14",
    "limit": 50,
    "ListRunsV1.after": f"{SUBMITTED_AT}/{_RUN}",
    "RunListV1.next_after": f"{SUBMITTED_AT}/{_RUN}",
    "step_id": "by_service",
    "step_type": "bq_etl.query",
    "AttemptStartedV1.steps": ["by_service"],
    "StepCompletedV1.status": "COMPLETED",
    "StepCompletedV1.error": None,
    "StepRowPart.status": "FAILED",
    "StepRowPart.error": _FAILURE,
    "duration_ms": 37_282,
    "rows": 1_048,
    "bytes": 52_428_800,
    "job_ids": [f"{_RUN}_by_service_1"],
}

PLATFORM: dict[str, Any] = {
    "CommandRefusedV1.code": "config_invalid",
    "CommandRefusedV1.detail": "the definition has a step of an unknown type",
    "pointer": "/steps/0/ps_type",
    "ProblemPart.detail": "'bq_etl.qery' is not a step type; did you mean 'bq_etl.query'?",
    "line": 4,
    "column": 14,
    "service": "executor",
    "instance": "executor-7c9f",
    "ready": False,
    "waiting_for": ["subscription convergence-executor-from-scheduler-v1"],
    "ServiceStatusV1.version": "1.4.2",
    "force_recreate_dataset": False,
    "force_recreate_tables": True,
    "confirm": "tenants",
    "schema_version": 3,
    "ObjectPart.name": "tenants.events",
    "ObjectPart.action": "created",
    "job": "trigger",
    "triggered_count": 4,
    "queued_count": 1,
    "retried_count": 1,
    "expired_count": 0,
    "event_id": "5d0b7c1e-94d8-4a1c-9d43-8a4f1b0c2e77",
    "event_type": "run.finished.v1",
    "EventRowPart.source": "scheduler",
    "event_time": FINISHED_AT,
    "sequence": 10_001,
    "correlation_id": _CAUSE,
    "causation_id": _CAUSE,
    "data": f'{{"tenant_id":"acme_cloud","run_id":"{_RUN}","status":"COMPLETED"}}',
    "from_time": "2026-03-14T00:00:00Z",
    "to_time": "2026-03-15T00:00:00Z",
    "ListEventsV1.after": f"{FINISHED_AT}/10000",
    "EventListV1.next_after": f"{FINISHED_AT}/10001",
}

VALUES: dict[str, Any] = {**TENANT, **KEYS_AND_CREDENTIALS, **PIPELINES, **RUNS, **PLATFORM}
