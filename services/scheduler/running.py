"""Handlers for runs: their submission, retries, explanations, and the quota."""

from collections.abc import Sequence

from contracts.identifiers import RunId
from contracts.message import Message
from contracts.pipelines import DefinitionPart
from contracts.platform import CommandRefusedV1
from contracts.quota import GetQuotaV1
from contracts.runs import ExplainRunV1, RetryRunV1, SubmitRunV1
from libs.bus.message import Context, Emit
from libs.bus.router import Router
from services.scheduler.checking import ParameterCheck, too_large, wrong_parameters
from services.scheduler.configuring import no_template
from services.scheduler.domain.deciding import RetryWith, SubmitTemplate
from services.scheduler.domain.explaining import explain
from services.scheduler.domain.ledger import EndedRun, Ledger
from services.scheduler.domain.quota import quota
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Revisions
from services.scheduler.templates.library import Library, ParameterError, Template


class RunHandlers:
    def __init__(self, ledgers: Ledgers, revisions: Revisions, templates: Library) -> None:
        self._ledgers = ledgers
        self._revisions = revisions
        self._templates = templates
        self._check = ParameterCheck(ledgers, templates)

    def register(self, router: Router) -> None:
        router.on(SubmitRunV1)(self.on_submit_run)
        router.on(RetryRunV1)(self.on_retry_run)
        router.on(ExplainRunV1)(self.on_explain_run)
        router.on(GetQuotaV1)(self.on_get_quota)

    async def on_submit_run(self, command: SubmitRunV1, context: Context) -> Sequence[Emit]:
        if command.template is None:
            given = command.parameters
            if wrong := await self._check.refusal(command.tenant_id, command.config_id, given):
                return [wrong]
            return await self._ledgers.decide(command.tenant_id, command, context.envelope)
        if wrong := too_large(command.tenant_id, command.parameters):
            return [wrong]
        template = self._templates.find(command.template)
        if template is None:
            return [no_template(command.tenant_id, command.template)]
        try:
            filled = template.fill(command.parameters)
        except ParameterError as error:
            return [wrong_parameters(command.tenant_id, error)]
        message = SubmitTemplate(
            command=command.model_copy(update={"parameters": filled}),
            version=template.about.version,
            definition=template.definition,
        )
        return await self._ledgers.decide(command.tenant_id, message, context.envelope)

    async def on_retry_run(self, command: RetryRunV1, context: Context) -> Sequence[Emit]:
        state = await self._ledgers.state(command.tenant_id)
        ended = state.ended.get(command.retry_of)
        definition = None if ended is None else await self._definition(command, ended)
        if definition is None:
            code, detail = self._not_repeatable(state, command, ended)
            return [CommandRefusedV1(tenant_id=command.tenant_id, code=code, detail=detail)]
        message = RetryWith(command=command, definition=definition)
        return await self._ledgers.decide(command.tenant_id, message, context.envelope)

    async def _definition(self, command: RetryRunV1, ended: EndedRun) -> DefinitionPart | None:
        """What the run was pinned to."""
        template = self._template_of(ended)
        if template is not None and template.about.version == ended.revision:
            return template.definition
        if ended.of_template:
            return None
        kept = await self._revisions.find(command.tenant_id, ended.config_id, ended.revision)
        return None if kept is None else kept.definition

    def _template_of(self, ended: EndedRun) -> Template | None:
        """A saved definition may have the name that a template's runs have."""
        if ended.of_template is False:
            return None
        names = (one for one in self._templates if one.about.ref.config_id == ended.config_id)
        return next(names, None)

    def _not_repeatable(
        self, state: Ledger, command: RetryRunV1, ended: EndedRun | None
    ) -> tuple[str, str]:
        run = f"run {command.retry_of}"
        if command.retry_of in state.runs:
            return "run_not_ended", f"{run} goes on; cancel it first"
        if ended is None:
            return "run_not_found", self._unknown(state, command.retry_of)
        template = self._template_of(ended)
        if template is not None:
            about = template.about
            detail = (
                f"{run} was of version {ended.revision} of template {about.ref}, which is at "
                f"version {about.version} now; start a new run of it"
            )
        else:
            detail = (
                f"revision {ended.revision} of {ended.config_id}, which {run} was of, is no longer "
                "kept; start a new run"
            )
        return "definition_gone", detail

    def _unknown(self, state: Ledger, run_id: RunId) -> str:
        return (
            f"the scheduler knows of no run {run_id}: it remembers runs for "
            f"{self._ledgers.rules.keep_days} days after their end, and the last "
            f"{state.remembered_runs:,} of a tenant; of older ones start a new run"
        )

    async def on_explain_run(self, query: ExplainRunV1, _: Context) -> Sequence[Message]:
        state = await self._ledgers.state(query.tenant_id)
        rules = self._ledgers.rules
        places = await self._ledgers.places() if rules.max_running else None
        found = explain(state, query, self._ledgers.now(), rules, places)
        if found is None:
            detail = self._unknown(state, query.run_id)
            return [
                CommandRefusedV1(tenant_id=query.tenant_id, code="run_not_found", detail=detail)
            ]
        return [found]

    async def on_get_quota(self, query: GetQuotaV1, _: Context) -> Sequence[Message]:
        state = await self._ledgers.state(query.tenant_id)
        return [quota(state, query.tenant_id, self._ledgers.now(), self._ledgers.rules)]
