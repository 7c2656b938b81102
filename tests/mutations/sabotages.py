"""Changes that break a promise, and the tests that must notice.

Each replaces text that stands exactly once in its file; a test proves that it does.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sabotage:
    name: str
    path: str
    old: str
    new: str
    tests: str
    """What must fail, as pytest takes it."""


SABOTAGES = (
    Sabotage(
        "inputs are decided again when they come again",
        "libs/slotlog/writer.py",
        "slot = lane.stream.slot_of(waiting.given.cause)",
        "slot = None",
        "tests/libs/slotlog/test_expiry.py tests/libs/slotlog/test_machine.py",
    ),
    Sabotage(
        "a batch is answered before it is durable",
        "libs/slotlog/writer.py",
        "            if not await self._made_durable(key, lane, record, state):\n"
        "                continue\n"
        "            for waiting, wires in answers:\n"
        "                resolve(waiting, wires)\n",
        "            for waiting, wires in answers:\n"
        "                resolve(waiting, wires)\n"
        "            if not await self._made_durable(key, lane, record, state):\n"
        "                continue\n",
        "tests/libs/slotlog/test_machine.py",
    ),
    Sabotage(
        "a lost reply is taken for success",
        "libs/slotlog/writer.py",
        "return await self._catch_up(key, lane, ours=record.commit_id)",
        "return True",
        "tests/libs/slotlog/test_machine.py",
    ),
    Sabotage(
        "a refusal is not checked against the newest state",
        "libs/slotlog/writer.py",
        "        return lane.stream.slot == seen\n",
        "        return lane.stream.slot >= seen\n",
        "tests/libs/slotlog/test_writer.py",
    ),
    Sabotage(
        "records expire that no snapshot covers",
        "libs/slotlog/writer.py",
        "            await self._log.save_snapshot(name, slot, lane.stream.dump())\n",
        "",
        "tests/libs/slotlog/test_expiry.py",
    ),
    Sabotage(
        "an instance that slept trusts what it knew",
        "libs/slotlog/writer.py",
        "abs(self._clock() - lane.known_at) > STALE:",
        "lane.known_at > self._clock():",
        "tests/libs/slotlog/test_expiry.py",
    ),
    Sabotage(
        "a slot can be overwritten",
        "libs/slotlog/bucket.py",
        '"&ifGenerationMatch=0"',
        '""',
        "tests/libs/slotlog/test_logs.py",
    ),
    Sabotage(
        "messages are acknowledged before they are handled",
        "libs/bus/lanes.py",
        "        verdict = await self._asked(received)\n"
        "        await self._settle(received, verdict)\n"
        "        return verdict\n",
        "        await self._settle(received, Verdict.ACK)\n"
        "        return await self._asked(received)\n",
        "tests/libs/bus/test_bus.py",
    ),
    Sabotage(
        "what cannot be handled is dropped without a dead letter",
        "libs/bus/middleware/dead_letter.py",
        "            await self._transport.publish(self._topic, [letter])\n",
        "            _ = letter\n",
        "tests/libs/bus/test_bus.py::test_what_can_never_work_is_a_dead_letter_with_its_reason",
    ),
    Sabotage(
        "a key with a wrong checksum is asked for",
        "services/gateway/keys.py",
        "if not hmac.compare_digest(base62_checksum(body), checksum):",
        "if not hmac.compare_digest(checksum, checksum):",
        "tests/gateway/test_auth.py",
    ),
    Sabotage(
        "a ciphertext is bound to no tenant",
        "libs/vault/vault.py",
        "parts = (str(version), self.tenant_id, self.provider, self.credential_id)",
        "parts = (str(version), self.provider, self.credential_id)",
        "tests/libs/vault",
    ),
    Sabotage(
        "a reply of KMS is not checked",
        "libs/vault/vault.py",
        "        if found.plaintext_crc32c != google_crc32c.value(key):\n"
        "            raise DamagedInTransitError\n",
        "",
        "tests/libs/vault",
    ),
    Sabotage(
        "a schedule that has run stays due",
        "services/scheduler/domain/schedules.py",
        "last_due_at=last, due_at=following)\n",
        "last_due_at=last, due_at=last)\n",
        "tests/scheduler/test_schedules.py",
    ),
    Sabotage(
        "missed times are made up for whatever the policy says",
        "services/scheduler/domain/schedules.py",
        "        case MisfirePolicy.SKIP:\n            return ()\n",
        "        case MisfirePolicy.SKIP:\n            return _latest(schedule, first, end, 1)\n",
        "tests/scheduler/test_schedules.py",
    ),
    Sabotage(
        "a fixed time that comes twice runs twice",
        "services/scheduler/domain/cron.py",
        "        if found > last:  # a fixed",
        "        if found:  # a fixed",
        "tests/scheduler/test_cron.py",
    ),
    Sabotage(
        "a backfill takes what schedules still need",
        "services/scheduler/domain/backfills.py",
        "    today = limits.daily - state.charged.get(day, 0) - needed_today\n",
        "    today = limits.daily - state.charged.get(day, 0)\n",
        "tests/scheduler/test_schedules.py",
    ),
    Sabotage(
        "an attempt that was given up can still end its run",
        "services/scheduler/domain/attempts.py",
        "    if lease is None or lease.queued or lease.request.attempt != attempt:\n",
        "    if lease is None or lease.queued:\n",
        "tests/scheduler/test_ledger.py tests/scheduler/test_model.py",
    ),
    Sabotage(
        "a run that the platform lost stays charged",
        "services/scheduler/domain/attempts.py",
        "return _end(lease, RunStatus.FAILED, now, error, refund=True, reason=lost)",
        "return _end(lease, RunStatus.FAILED, now, error, reason=lost)",
        "tests/scheduler/test_ledger.py",
    ),
    Sabotage(
        "a clock that goes back opens another day",
        "services/scheduler/domain/periods.py",
        "    return max([today, *(key for key in state.charged if len(key) == len(today))])\n",
        "    return today\n",
        "tests/scheduler/test_ledger.py tests/scheduler/test_model.py",
    ),
    Sabotage(
        "a place that is offered twice is taken twice",
        "services/scheduler/domain/queue.py",
        "    if offer.number <= state.last_place:\n",
        "    if not offer.number:\n",
        "tests/scheduler/test_simulation.py",
    ),
    Sabotage(
        "what a ledger said long ago counts again",
        "services/scheduler/domain/places.py",
        "    if known is not None and demand.version <= known.version:\n",
        "    if known is not None and demand.version == known.version:\n",
        "tests/scheduler/test_places.py",
    ),
    Sabotage(
        "the platform gives a place more than it has",
        "services/scheduler/domain/places.py",
        "    while state.used < most and",
        "    while state.used <= most and",
        "tests/scheduler/test_places.py",
    ),
    Sabotage(
        "a reminder is dropped before what it led to is published",
        "services/scheduler/ticking.py",
        "        await self._publish([wires for _, wires in looks], round_)\n"
        "        await round_.sparing.each(\n"
        "            [reminder for reminder, _ in looks], _tenant_of, self._reminders.drop\n"
        "        )\n",
        "        await round_.sparing.each(\n"
        "            [reminder for reminder, _ in looks], _tenant_of, self._reminders.drop\n"
        "        )\n"
        "        await self._publish([wires for _, wires in looks], round_)\n",
        "tests/scheduler/test_simulation.py",
    ),
    Sabotage(
        "nobody is told of the end of a run that could not be requested",
        "services/scheduler/ticking.py",
        "            wires = [wire for _, more in given_up for wire in more]\n",
        "            wires = []\n",
        "tests/scheduler/test_refused_requests.py",
    ),
    Sabotage(
        "a decision is published before its reminder is durable",
        "services/scheduler/ledgers.py",
        "        await self._remind(tenant, again=remind_again)\n",
        "        _ = remind_again\n",
        "tests/scheduler/test_simulation.py",
    ),
    Sabotage(
        "a lease never ends",
        "services/scheduler/domain/attempts.py",
        "        if lease.until <= now:\n",
        "        if lease.until <= now and lease.cancelling:\n",
        "tests/scheduler/test_ledger.py",
    ),
    Sabotage(
        "a plan allows one run more at a time",
        "services/scheduler/domain/ledger.py",
        "return max(0, self.limits.concurrent - len(self.running))",
        "return max(0, self.limits.concurrent + 1 - len(self.running))",
        "tests/scheduler/test_ledger.py",
    ),
    Sabotage(
        "a suspended tenant starts what waits",
        "services/scheduler/domain/queue.py",
        "    if state.suspended or not state.free or rules.max_running:\n",
        "    if not state.free or rules.max_running:\n",
        "tests/scheduler/test_simulation.py",
    ),
    Sabotage(
        "a plan allows one run more a day",
        "services/scheduler/domain/admission.py",
        "        if state.charged.get(period, 0) >= most:\n",
        "        if state.charged.get(period, 0) > most:\n",
        "tests/scheduler/test_simulation.py",
    ),
    Sabotage(
        "a run that has ended is admitted again",
        "services/scheduler/domain/admission.py",
        "    if command.run_id not in state.runs and command.run_id not in state.ended:\n",
        "    if command.run_id not in state.runs:\n",
        "tests/scheduler/test_simulation.py",
    ),
    Sabotage(
        "a refund goes to whatever period is now",
        "services/scheduler/domain/evolving.py",
        "        keys = {lease.day, lease.day[:7]}\n",
        "        keys = set(state.charged)\n",
        "tests/scheduler/test_simulation.py",
    ),
    Sabotage(
        "a backfill takes the last free slot",
        "services/scheduler/domain/backfills.py",
        "    kept_free = 1 if",
        "    kept_free = 0 if",
        "tests/scheduler/test_simulation.py",
    ),
    Sabotage(
        "a backfill overtakes what waits",
        "services/scheduler/domain/backfills.py",
        "    if state.suspended or any(lease.queued for lease in state.runs.values()):\n",
        "    if state.suspended:\n",
        "tests/scheduler/test_simulation.py",
    ),
    Sabotage(
        "a look decides under a reminder that another has replaced",
        "services/scheduler/store.py",
        "message.reminder not in {None, state.reminders}:",
        "message.reminder == 0:",
        "tests/scheduler/test_ledger.py",
    ),
    Sabotage(
        "a heartbeat of an attempt that was given up counts",
        "services/scheduler/domain/attempts.py",
        "    lease = _current(state, event.run_id, event.attempt)\n"
        "    if lease is None:\n"
        "        return NOTHING\n"
        "    fact = LeaseExtended(run_id=event.run_id, until=lease_until(now, rules))\n",
        "    lease = state.runs.get(event.run_id)\n"
        "    if lease is None:\n"
        "        return NOTHING\n"
        "    fact = LeaseExtended(run_id=event.run_id, until=lease_until(now, rules))\n",
        "tests/scheduler/test_ledger.py",
    ),
    Sabotage(
        "a cancelled run that is silent is requested again",
        "services/scheduler/domain/attempts.py",
        "    if lease.cancelling:\n"
        '        reason = "its cancellation was asked for, and its executor is silent"\n',
        "    if lease.cancelling and lease.queued:\n"
        '        reason = "its cancellation was asked for, and its executor is silent"\n',
        "tests/scheduler/test_model.py",
    ),
    Sabotage(
        "a month ends after thirty days",
        "services/scheduler/domain/periods.py",
        "    return (start.replace(day=28) + timedelta(days=4)).replace(day=1)\n",
        "    return start.replace(day=1) + timedelta(days=30)\n",
        "tests/scheduler/test_clocks.py",
    ),
    Sabotage(
        "a schedule follows the clock of Greenwich",
        "services/scheduler/domain/cron.py",
        "    for local in CronSim(_five_fields(cron), after.astimezone(_zone(time_zone))):\n",
        "    for local in CronSim(_five_fields(cron), after.astimezone(UTC)):\n",
        "tests/scheduler/test_clocks.py",
    ),
    Sabotage(
        "each attempt of a run names its jobs anew",
        "services/executor/steps/step.py",
        '            f"run_{request.run_id}_{request.generation}_{self.try_number}_{part}"\n',
        '            f"run_{request.run_id}_{request.attempt}_{self.try_number}_{part}"\n',
        "tests/executor/test_attempts.py",
    ),
    Sabotage(
        "tenants read each other's records",
        "services/audit_log/reading.py",
        'else "tenant_id = @tenant_id"',
        'else "@tenant_id IS NOT NULL"',
        "tests/audit_log/test_pages.py",
    ),
    Sabotage(
        "what is to be recorded is acknowledged before it is appended",
        "libs/bus/service.py",
        "        await self._answer(delivery)\n        await recorded\n",
        "        await self._answer(delivery)\n        _ = recorded\n",
        "tests/libs/bus/test_recording.py",
    ),
    Sabotage(
        "a batch passes for recorded though a table has not taken its rows",
        "services/audit_log/handlers.py",
        "        if failures:\n            raise failures[0]\n",
        "",
        "tests/audit_log/test_appends.py",
    ),
    Sabotage(
        "what came twice is shown twice",
        "services/audit_log/views.py",
        "(PARTITION BY tenant_id, event_id ORDER BY recorded_at, chain_id) = 1\n",
        "(PARTITION BY tenant_id, event_id, chain_position ORDER BY recorded_at) = 1\n",
        "tests/audit_log/test_views.py::test_an_event_is_shown_once_as_it_was_recorded_first",
    ),
    Sabotage(
        "what came twice is listed twice",
        "services/audit_log/event_pages.py",
        'Conditions(once="" if in_chains else "event_id")',
        "Conditions()",
        "tests/audit_log/test_windows.py",
    ),
    Sabotage(
        "a page reads the log from its beginning",
        "services/audit_log/reading.py",
        'return self.add("recorded_at >= @recorded_from", recorded_from=at)',
        "return self.add('TRUE', recorded_from=at)",
        "tests/audit_log/test_windows.py",
    ),
    Sabotage(
        "rows are chained to nothing",
        "services/audit_log/chain.py",
        'row["previous_hash"] = head.hash or None',
        'row["previous_hash"] = None',
        "tests/audit_log/test_chain.py",
    ),
    Sabotage(
        "a hash does not cover what was recorded",
        "services/audit_log/chain.py",
        '    "data",\n',
        "",
        "tests/audit_log/test_chain.py",
    ),
    Sabotage(
        "a chain goes on though its last rows may not be written",
        "services/audit_log/handlers.py",
        "                self._chains.end()\n                raise\n",
        "                raise\n",
        "tests/audit_log/test_appends.py",
    ),
    Sabotage(
        "of a thing the oldest that was said of it is shown",
        "services/audit_log/views.py",
        "ORDER BY sequence DESC, event_time DESC, event_id\n  ROWS BETWEEN",
        "ORDER BY sequence, event_time, event_id\n  ROWS BETWEEN",
        "tests/audit_log/test_views.py::test_a_tenant_has_one_profile_and_its_newest_plan",
    ),
    Sabotage(
        "a late attempt hides the end of a run",
        "services/audit_log/views.py",
        "  ORDER BY rank >= 10 DESC, attempt DESC, rank DESC, event_time DESC\n",
        "  ORDER BY event_time DESC\n",
        "tests/audit_log/test_pages.py"
        "::test_a_run_that_has_ended_stays_so_whatever_is_said_of_it_later",
    ),
    Sabotage(
        "a pipeline seems changed whenever it has run",
        "services/audit_log/views.py",
        "FIRST_VALUE(IF(subject = '{subject}', event_time, NULL) IGNORE NULLS) OVER newest",
        "FIRST_VALUE(event_time IGNORE NULLS) OVER newest",
        "tests/audit_log/test_next_times.py",
    ),
    Sabotage(
        "nobody is told that a schedule has gone on",
        "services/scheduler/domain/schedules.py",
        "    work.take(_told_of(tenant, work.outcome))\n",
        "",
        "tests/scheduler/test_schedules.py",
    ),
    Sabotage(
        "what nobody begins is requested again and again",
        "services/scheduler/domain/attempts.py",
        "min(1 << max(0, unheard - 1), MOST_LEASES)",
        "1",
        "tests/scheduler/test_ledger.py",
    ),
    Sabotage(
        "what just began when it was stopped goes on in BigQuery",
        "services/executor/tries.py",
        "            await asyncio.sleep(STOP_AGAIN)\n            await self.stop()\n",
        "            await asyncio.sleep(STOP_AGAIN)\n",
        "tests/executor/test_stopping_jobs.py",
    ),
    Sabotage(
        "an executor remembers every run that it had",
        "services/executor/handlers.py",
        "        self._claimed[key] = None\n",
        "        self._claimed[key] = None\n"
        "        vars(self).setdefault('all', []).append((key,))\n",
        "tests/executor/test_runs.py",
    ),
    Sabotage(
        "a step says that it wrote all that its table holds",
        "libs/warehouse/jobs.py",
        '    return partition or job.write_disposition == "WRITE_APPEND"\n',
        "    return partition\n",
        "tests/libs/warehouse/test_warehouse.py",
    ),
    Sabotage(
        "an end is told before what the executor said",
        "services/gateway/journal.py",
        "return attempt in self._ended or age > HOLD",
        "return attempt >= 0",
        "tests/gateway/test_journal.py",
    ),
    Sabotage(
        "what waits for what comes late is aged by when it was said",
        "services/gateway/journal.py",
        "if not self._is_next(position, heard, now - heard.since):",
        "if not self._is_next(position, heard, now - heard.time):",
        "tests/gateway/test_journal.py",
    ),
    Sabotage(
        "some steps of a run pass for all of them",
        "services/gateway/live.py",
        "return self.journal.whole and not self.adopted",
        "return not self.adopted",
        "tests/gateway/test_live.py",
    ),
    Sabotage(
        "what was heard long ago passes for what is",
        "services/gateway/live.py",
        "return self.told_late or now - self.heard_at > self.lease * SILENT_LEASES",
        "return False",
        "tests/gateway/test_live.py",
    ),
    Sabotage(
        "what a run was when it was asked for passes for what it is",
        "services/gateway/live.py",
        "return self.told_late or now",
        "return now",
        "tests/gateway/test_live.py",
    ),
    Sabotage(
        "deliveries that ended with their consumers make a dead letter",
        "libs/bus/middleware/dead_letter.py",
        "failures >= self._max_failures",
        "received.attempt >= self._max_failures",
        "tests/libs/bus/test_failures.py",
    ),
    Sabotage(
        "an outage makes dead letters",
        "libs/bus/middleware/dead_letter.py",
        "isinstance(error, OutageError):",
        "isinstance(error, type(None)):",
        "tests/libs/bus/test_failures.py",
    ),
    Sabotage(
        "a dead letter is told of before it is kept",
        "libs/bus/middleware/dead_letter.py",
        "            await self._keep(Wire(attributes, received.data, received.ordering_key))\n"
        "            await self._given_up(received, error, reason)\n",
        "            await self._given_up(received, error, reason)\n"
        "            await self._keep(Wire(attributes, received.data, received.ordering_key))\n",
        "tests/libs/bus/test_given_up.py",
    ),
    Sabotage(
        "the end of what tells of dead letters is told of too",
        "libs/bus/given_up.py",
        "            return  # its own end",
        "            pass  # its own end",
        "tests/libs/bus/test_given_up.py",
    ),
    Sabotage(
        "tenant SQL may read any dataset",
        "services/executor/steps/guard.py",
        "if parts[-2] not in datasets:",
        "if parts[-2] not in datasets and not datasets:",
        "tests/executor/test_guard.py",
    ),
    Sabotage(
        "numbers of lines that are read at once may be rounded",
        "services/executor/ingest/json_blocks.py",
        " and is_exact(text)):",
        "):",
        "tests/ingest/test_json_blocks.py",
    ),
)
