import { call, CONFIGS, get, has, post, query } from "../api.js";
import { ask, button, card, field, h, problem, say, state, table, when } from "../dom.js";
import { backfill } from "./overview.js";

const EXAMPLE = `pipeline_id: NAME
description: What it is for.
steps:
  - id: first
    ps_type: bq_etl.query
    config:
      source_query: "SELECT 1 AS one, \${date} AS on_day"
      target_table: \${tenant_id}.first
`;

export async function show(place, context) {
  const [name, fresh] = context.rest;
  return name ? edit(place, context, name, fresh === "new") : list(place, context);
}

async function list(place, { signal }) {
  const configs = [];
  let cursor;
  do {
    const page = await get(query(CONFIGS, { cursor }), { signal });
    configs.push(...page.configs);
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  place.replaceChildren(h("h1", {}, "Pipelines"), card("", table([
    ["Pipeline", (one) => h("a", { href: `#/pipelines/${encodeURIComponent(one.config_id)}` }, one.config_id)],
    ["About", (one) => one.definition.description || one.definition.name], ["Steps", (one) => one.definition.steps.length, "number"],
    ["Revision", (one) => one.revision, "number"], ["Saved", (one) => when(one.saved_at)],
  ], configs, "No pipelines yet."), h("p", {}, button("New pipeline", create, "first"))));
}

function create() {
  const name = h("input", { name: "name", required: true, pattern: "[a-z0-9][a-z0-9_\\-]{0,99}", autocomplete: "off" });
  ask("New pipeline", field("Name", "Lower-case letters, digits, _ and -.", name), "Write it", async () => {
    location.hash = `#/pipelines/${name.value}/new`;
  });
}

async function edit(place, { signal }, name, fresh) {
  const path = `${CONFIGS}/${encodeURIComponent(name)}`;
  const found = fresh ? null : await get(path, { signal });
  let revision = found?.revision ?? 0;
  const lines = h("ol", { "aria-hidden": "true" });
  const text = h("textarea", { class: "code", "aria-label": `Definition of ${name}`, spellcheck: "false", wrap: "off", value: found?.source ?? EXAMPLE.replace("NAME", name) });
  const verdict = h("div", { "aria-live": "polite" });
  const number = (wrong = new Set()) => lines.replaceChildren(...text.value.split("\n").map((_, i) => h("li", { class: wrong.has(i + 1) ? "wrong" : "" }, String(i + 1))));
  text.addEventListener("input", () => number());
  text.addEventListener("scroll", () => { lines.scrollTop = text.scrollTop; });
  const judge = (error) => {
    const faults = error.errors ?? [];
    number(new Set(faults.map((fault) => fault.line)));
    const goto = (fault) => button(`line ${fault.line}`, () => jump(text, fault.line));
    verdict.replaceChildren(problem({ ...error, detail: error.detail, errors: [] }),
      h("ul", {}, faults.map((fault) => h("li", {}, fault.line ? goto(fault) : fault.pointer, " ", fault.detail))));
  };
  const attempt = (work) => async () => {
    verdict.replaceChildren();
    try { await work(); } catch (error) { judge(error); }
  };
  const save = async () => {
    const saved = revision
      ? await call("PUT", path, { text: text.value, headers: { "If-Match": `"${revision}"` } })
      : await call("POST", path, { text: text.value });
    revision = saved.revision;
    number();
    say(`Saved as revision ${revision}`);
  };
  const run = async () => {
    await save();
    const started = await post(`/api/v1/pipelines/run/${encodeURIComponent(name)}`, { trigger_by: "console" });
    location.hash = `#/runs/${started.run_id}`;
  };
  const check = async () => {
    const told = await call("POST", "/api/v1/pipelines/validate", { text: text.value });
    if (told.valid) { number(); verdict.replaceChildren(h("p", { class: "good" }, "✓ No faults.")); } else judge({ title: "It has faults", detail: "Nothing was saved.", errors: told.problems });
  };
  const remove = () => ask(`Delete ${name}?`, h("p", {}, "Runs that have begun keep their revision."), "Delete", async () => {
    await call("DELETE", path, { headers: { "If-Match": `"${revision}"` } });
    location.hash = "#/pipelines";
  });
  place.replaceChildren(h("h1", {}, name), card("", h("div", { class: "editor" }, lines, text), h("p", {}), verdict,
    h("div", { class: "row" }, button("Save", attempt(save), "first"), button("Save and run", attempt(run)),
      has("POST /api/v1/pipelines/validate") && button("Check", attempt(check)),
      found && button("Fill days", () => { const now = new Date().toISOString().slice(0, 10); backfill(name, now, now); }),
      found && button("Delete", remove, "danger"))));
  number();
  if (found && has(`GET ${CONFIGS}/{config_id}/backfills`)) {
    const { backfills } = await get(`${path}/backfills`, { signal });
    if (backfills.length) {
      place.append(card("Backfills", table([
        ["From", (one) => one.from_date], ["To", (one) => one.to_date], ["State", (one) => state(one.status)],
        ["", (one) => ["RUNNING", "PAUSED", "ACTIVE"].includes(one.status) && button("Stop", async () => { await call("DELETE", `${path}/backfills/${one.backfill_id}`); say("Stopped"); })],
      ], backfills)));
    }
  }
}

function jump(text, line) {
  const start = text.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  const end = text.value.indexOf("\n", start);
  text.focus();
  text.setSelectionRange(start, end < 0 ? text.value.length : end);
  text.scrollTop = (line - 5) * 19.5;
}
