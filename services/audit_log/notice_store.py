"""The tenants' webhooks and what is due to them: one stream of the slot log for each."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.message import Message
from contracts.tenants import TenantOffboardedV1
from contracts.webhooks import DeleteWebhookV1, RotateWebhookV1, SaveWebhookV1, SendNoticeV1
from libs.slotlog.decider import Decision
from services.audit_log import notice_rules, notices
from services.audit_log.notices import State

_RULES: dict[type[Message], Callable[[State, Any, datetime], notice_rules.Outcome]] = {
    SaveWebhookV1: notice_rules.save,
    DeleteWebhookV1: notice_rules.delete,
    RotateWebhookV1: notice_rules.rotate,
    SendNoticeV1: notice_rules.send,
    TenantOffboardedV1: notice_rules.leave,
    notices.Tell: notice_rules.tell,
    notices.Take: notice_rules.take,
    notices.Tried: notice_rules.tried,
}


class NoticeDecider:
    """Binds the rules to the slot log's writer."""

    version = 1

    def initial(self) -> State:
        return State()

    def decide(self, state: State, message: Message, now: datetime) -> Decision:
        facts, emits = _RULES[type(message)](state, message, now)
        return Decision(facts, emits)

    def evolve(self, state: State, fact: BaseModel) -> State:
        return notices.evolve(state, fact)

    def load_fact(self, data: Any) -> BaseModel:
        return notices.FACTS.validate_python(data)

    def dump_state(self, state: State) -> bytes:
        return state.model_dump_json().encode()

    def load_state(self, data: Any) -> State:
        return State.model_validate(data)
