"""Every error code that the gateway answers with: its status, and what it means.

The one catalogue behind HTTP statuses, the OpenAPI document and the page of
errors. An owner's refusal with a code that is not here is answered as 422.
"""

from collections.abc import Mapping
from dataclasses import dataclass

UNPROCESSABLE = 422


@dataclass(frozen=True, slots=True)
class Meaning:
    status: int
    text: str


CODES: Mapping[str, Meaning] = {
    # the request itself
    "invalid_request": Meaning(400, "A field is missing, unknown or wrong; `errors` says which."),
    "invalid_cursor": Meaning(400, "The cursor is of another list; leave it out to begin anew."),
    "invalid_json": Meaning(400, "The body is not JSON; line and column say where."),
    "invalid_encoding": Meaning(400, "The body is not UTF-8."),
    "too_deep": Meaning(400, "The body is nested too deeply."),
    "invalid_definition": Meaning(400, "The definition has faults, each with line and column."),
    "invalid_parameters": Meaning(
        400, "The template takes no such parameters, or they are too long."
    ),
    "invalid_range": Meaning(400, "The days of a backfill are the wrong way round, or too many."),
    "invalid_schedule": Meaning(400, "A cron expression or time zone that cannot be used."),
    "unknown_step": Meaning(400, "The definition has no such step."),
    "body_too_large": Meaning(413, "The body has more bytes than this endpoint takes."),
    "definition_too_large": Meaning(413, "A definition may have 256 KiB at most."),
    "method_not_allowed": Meaning(405, "The path is right, the method is not; see Allow."),
    # who is asking
    "api_key_required": Meaning(401, "Send your tenant's key in X-API-Key."),
    "invalid_api_key": Meaning(401, "The key is not valid, or not any more."),
    "admin_key_required": Meaning(401, "Send an operator's key in X-Admin-Key."),
    "tenant_suspended": Meaning(403, "The tenant is suspended; ask the operator."),
    "scope_missing": Meaning(403, "The key is narrowed to scopes that leave this out."),
    "scope_exceeded": Meaning(403, "A narrowed key gives away no more than it has."),
    "onboarding_closed": Meaning(403, "No new tenants are taken in."),
    "plan_needs_admin": Meaning(403, "Only an operator gives this plan."),
    # what it is about
    "not_found": Meaning(404, "There is nothing at this path; check its spelling."),
    "config_not_found": Meaning(404, "The tenant has no such pipeline."),
    "backfill_not_found": Meaning(404, "The tenant has no such backfill."),
    "schedule_not_found": Meaning(404, "The pipeline has no schedule."),
    "template_not_found": Meaning(404, "There is no such template."),
    "credential_not_found": Meaning(404, "The tenant has no such credential."),
    "key_not_found": Meaning(404, "The tenant has no such key."),
    "run_not_found": Meaning(404, "The tenant has no such run."),
    "notice_not_found": Meaning(404, "The notice is not known any more."),
    "webhook_not_found": Meaning(404, "The tenant has no such webhook."),
    "tenant_not_found": Meaning(404, "There is no such tenant, or it is not yours."),
    # the state it is in
    "run_ended": Meaning(409, "The run has ended; an end never changes."),
    "definition_gone": Meaning(
        409, "What the run was of is no longer there as it was; start a new run."
    ),
    "run_not_ended": Meaning(409, "The run goes on; cancel it first, or wait."),
    "backfill_ended": Meaning(409, "The backfill has ended; an end never changes."),
    "backfill_exists": Meaning(409, "A backfill with this id is there already."),
    "run_exists": Meaning(409, "A run with this id is there already."),
    "schema_conflict": Meaning(409, "A table differs in a way that no migration mends."),
    "dataset_taken": Meaning(409, "A dataset of this name belongs to another."),
    "tenant_exists": Meaning(409, "A tenant of this name is there already."),
    "wrong_status": Meaning(409, "The tenant's state does not allow this."),
    "request_in_progress": Meaning(409, "It is still being carried out; repeat it in a moment."),
    "revision_conflict": Meaning(412, "Somebody has saved another revision; read it again."),
    "if_match_required": Meaning(428, "It is there already: say in If-Match what you replace."),
    "too_many_backfills": Meaning(422, "As many backfills are open as may be; cancel one."),
    "idempotency_key_reused": Meaning(422, "The key was sent with another request; take a new one"),
    "confirmation_required": Meaning(422, "Name what may be recreated in `confirm`."),
    "unknown_plan": Meaning(422, "There is no plan of this name."),
    "tenant_id_reserved": Meaning(422, "This name belongs to the platform; choose another."),
    "too_many_secrets": Meaning(
        409, "As many secrets sign as may at a time; rotate again when an overlap has ended."
    ),
    "too_many_webhooks": Meaning(422, "The tenant has as many webhooks as it may; delete one."),
    "too_many_keys": Meaning(422, "The tenant has as many keys as it may; revoke one first."),
    "key_expired": Meaning(422, "expires_at lies in the past."),
    "key_exists": Meaning(409, "This very key was issued before."),
    "credential_unreadable": Meaning(422, "The credential cannot be opened; store it again."),
    "dataset_name": Meaning(422, "A dataset is named after its tenant, with something behind it."),
    "too_many_datasets": Meaning(422, "The tenant has as many datasets as it may."),
    "too_many_credentials": Meaning(422, "The tenant has as many credentials as it may."),
    "too_many_configs": Meaning(422, "The tenant has as many pipelines as it may; delete one."),
    "quota_exceeded": Meaning(429, "A limit of the plan is reached; `resets_at` says until when."),
    "rate_limited": Meaning(429, "Too many requests a minute; Retry-After says when to go on."),
    "queue_full": Meaning(
        429,
        "As many runs wait as may wait; when some have started, try again with a new "
        "Idempotency-Key.",
    ),
    "too_many_streams": Meaning(429, "Too many event streams are open; close some."),
    # the platform
    "internal_error": Meaning(500, "Something went wrong on our side; report the trace_id."),
    "encryption_unavailable": Meaning(503, "Nothing was kept; try again."),
    "secret_unavailable": Meaning(503, "A signing secret cannot be made now; try again."),
    "authentication_unavailable": Meaning(503, "The key cannot be checked now; try again."),
    "overloaded": Meaning(503, "Too many requests wait; try again in a moment."),
    "no_answer_yet": Meaning(504, "No answer in time; it may still be done. Look, or repeat."),
}


def status_of(code: str) -> int:
    meaning = CODES.get(code)
    return meaning.status if meaning else UNPROCESSABLE
