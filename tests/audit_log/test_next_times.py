"""When pipelines run next, as the view of them says."""

from datetime import datetime, timedelta

from contracts.identifiers import ConfigId, TenantId
from contracts.schedules import AdvancedPart, SchedulePart, SchedulesAdvancedV1, ScheduleSavedV1
from tests.audit_log.recorder import START, Recorder
from tests.audit_log.test_views import CONFIG


async def test_a_config_shows_when_it_runs_next_whatever_comes_late(recorder: Recorder) -> None:
    tenant, other, day = TenantId("view_next"), ConfigId("other"), timedelta(days=1)
    cron = SchedulePart(config_id=CONFIG, cron="0 9 * * *")

    def saved(config: ConfigId) -> ScheduleSavedV1:
        schedule = cron.model_copy(update={"config_id": config})
        times = (START, START + day)
        return ScheduleSavedV1(
            tenant_id=tenant, schedule=schedule, next_times=times, requested_by="ann"
        )

    def advanced(days: int, *configs: ConfigId, ends: bool = False) -> SchedulesAdvancedV1:
        at = START + days * day
        moved = [
            AdvancedPart(config_id=one, last_due_at=at, next_due_at=None if ends else at + day)
            for one in configs
        ]
        return SchedulesAdvancedV1(tenant_id=tenant, schedules=tuple(moved))

    async def shown() -> dict[str, tuple[datetime | None, datetime]]:
        rows = await recorder.rows("tenants.tenant_pipeline_configs", tenant_id=tenant)
        return {row["config_id"]: (row["next_run_time"], row["updated_at"]) for row in rows}

    await recorder.record_badly(saved(CONFIG), saved(other))
    before = await shown()
    assert {at for at, _ in before.values()} == {START}
    late, *in_time = recorder.deliveries(advanced(0, CONFIG, other), advanced(1, CONFIG))
    await recorder.handlers.record(in_time)
    await recorder.handlers.record([late])
    await recorder.handlers.record([late, *in_time])
    found = await shown()
    assert {name: at for name, (at, _) in found.items()} == {
        CONFIG: START + 2 * day,
        other: START + day,
    }
    assert [found[name][1] for name in (CONFIG, other)] == [
        before[name][1] for name in (CONFIG, other)
    ], "nobody has changed them"
    await recorder.record_badly(saved(CONFIG), advanced(2, other, ends=True))
    found = await shown()
    assert (found[CONFIG][0], found[other][0]) == (START, None)
    assert found[CONFIG][1] > before[CONFIG][1]
