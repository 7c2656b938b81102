"""Handlers for definitions, their revisions, and templates."""

from collections.abc import Sequence
from datetime import datetime

from contracts.envelope import Wire
from contracts.identifiers import ConfigId, TenantId
from contracts.message import Message
from contracts.pipelines import (
    CheckDefinitionV1,
    ConfigListV1,
    ConfigPart,
    ConfigSavedV1,
    ConfigV1,
    DefinitionCheckedV1,
    DeleteConfigV1,
    GetConfigV1,
    ListConfigsV1,
    ListRevisionsV1,
    RevisionListV1,
    SaveConfigV1,
)
from contracts.platform import CommandRefusedV1
from contracts.templates import (
    GetTemplateV1,
    ListTemplatesV1,
    TemplateListV1,
    TemplateRefPart,
    TemplateV1,
)
from libs.bus.message import Context, Emit
from libs.bus.router import Router
from services.scheduler.definitions.nodes import DefinitionError
from services.scheduler.definitions.reading import Reader
from services.scheduler.domain.deciding import KeepConfig
from services.scheduler.domain.ledger import Ledger
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Revisions
from services.scheduler.templates.library import Library

CHECKED = ConfigId("checked")
MOST_BYTES = 4 << 20


class ConfigHandlers:
    def __init__(self, ledgers: Ledgers, revisions: Revisions, templates: Library) -> None:
        self._ledgers = ledgers
        self._revisions = revisions
        self._templates = templates
        self._reader = Reader(templates)

    def register(self, router: Router) -> None:
        router.on(SaveConfigV1)(self.on_save_config)
        router.on(DeleteConfigV1)(self.on_delete_config)
        router.on(GetConfigV1)(self.on_get_config)
        router.on(ListConfigsV1)(self.on_list_configs)
        router.on(ListRevisionsV1)(self.on_list_revisions)
        router.on(CheckDefinitionV1)(self.on_check_definition)
        router.on(ListTemplatesV1)(self.on_list_templates)
        router.on(GetTemplateV1)(self.on_get_template)

    async def on_save_config(self, command: SaveConfigV1, context: Context) -> Sequence[Emit]:
        """The revision is kept as an object before anybody hears of it."""
        try:
            definition = await self._reader.read_soon(command.source, command.config_id)
        except DefinitionError as error:
            return [
                CommandRefusedV1(
                    tenant_id=command.tenant_id,
                    code="invalid_definition",
                    detail=f"the definition cannot be used: {error}",
                    problems=error.problems,
                )
            ]
        message = KeepConfig(command=command, definition=definition)
        wires = await self._ledgers.decide(command.tenant_id, message, context.envelope)
        for wire in wires:
            if wire.attributes["ce-type"] == ConfigSavedV1.wire_type:
                saved = ConfigSavedV1.decode(wire.data)
                await self._revisions.keep(command.tenant_id, _kept(saved, wire))
        return wires

    async def on_delete_config(self, command: DeleteConfigV1, context: Context) -> Sequence[Emit]:
        return await self._ledgers.decide(command.tenant_id, command, context.envelope)

    async def on_get_config(self, query: GetConfigV1, _: Context) -> Sequence[Message]:
        state = await self._ledgers.state(query.tenant_id)
        config = state.configs.get(query.config_id)
        if query.revision is not None and (config is None or config.revision != query.revision):
            config = await self._revisions.find(query.tenant_id, query.config_id, query.revision)
        if config is None:
            which = "" if query.revision is None else f" of revision {query.revision}"
            return [_not_found(query.tenant_id, query.config_id, which)]
        return [ConfigV1(tenant_id=query.tenant_id, config=config)]

    async def on_list_configs(self, query: ListConfigsV1, _: Context) -> Sequence[Message]:
        state = await self._ledgers.state(query.tenant_id)
        names = sorted(n for n in state.configs if query.after is None or n > query.after)
        page = _page(state, names, query.limit)
        return [
            ConfigListV1(
                tenant_id=query.tenant_id,
                configs=tuple(page),
                next_after=page[-1].config_id if len(names) > len(page) else None,
            )
        ]

    async def on_list_revisions(self, query: ListRevisionsV1, _: Context) -> Sequence[Message]:
        state = await self._ledgers.state(query.tenant_id)
        history = state.history.get(query.config_id)
        if history is None:
            return [_not_found(query.tenant_id, query.config_id)]
        return [
            RevisionListV1(
                tenant_id=query.tenant_id,
                config_id=query.config_id,
                revisions=tuple(reversed(history)),
            )
        ]

    async def on_check_definition(self, query: CheckDefinitionV1, _: Context) -> Sequence[Message]:
        try:
            found = await self._reader.read_soon(query.source, CHECKED)
        except DefinitionError as error:
            return [DefinitionCheckedV1(tenant_id=query.tenant_id, problems=error.problems)]
        return [DefinitionCheckedV1(tenant_id=query.tenant_id, definition=found)]

    async def on_list_templates(self, query: ListTemplatesV1, _: Context) -> Sequence[Message]:
        found = tuple(template.about for template in self._templates)
        return [TemplateListV1(tenant_id=query.tenant_id, templates=found)]

    async def on_get_template(self, query: GetTemplateV1, _: Context) -> Sequence[Message]:
        found = self._templates.find(query.ref)
        if found is None:
            return [no_template(query.tenant_id, query.ref)]
        answer = TemplateV1(
            tenant_id=query.tenant_id, template=found.about, definition=found.definition
        )
        return [answer]


def _kept(saved: ConfigSavedV1, wire: Wire) -> ConfigPart:
    return ConfigPart(
        config_id=saved.config_id,
        revision=saved.revision,
        source=saved.source,
        definition=saved.definition,
        saved_at=datetime.fromisoformat(wire.attributes["ce-time"]),
        saved_by=saved.requested_by,
    )


def _page(state: Ledger, names: Sequence[ConfigId], most: int) -> list[ConfigPart]:
    """As many as asked for, and as fit into one message."""
    page: list[ConfigPart] = []
    size = 0
    for name in names[:most]:
        config = state.configs[name]
        size += 3 * len(config.source)  # the text, and the model that was made of it
        if page and size > MOST_BYTES:
            break
        page.append(config)
    return page


def no_template(tenant: TenantId, ref: TemplateRefPart) -> CommandRefusedV1:
    detail = f"there is no template {ref}; GET /api/v1/templates lists them"
    return CommandRefusedV1(tenant_id=tenant, code="template_not_found", detail=detail)


def _not_found(tenant: TenantId, config_id: ConfigId, which: str = "") -> CommandRefusedV1:
    detail = f"there is no pipeline {config_id}{which}"
    return CommandRefusedV1(tenant_id=tenant, code="config_not_found", detail=detail)
