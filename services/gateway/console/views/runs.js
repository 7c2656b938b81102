import { call, CONFIGS, ENDED, get, has, post, query, RUNS } from "../api.js";
import { button, card, count, h, problem, say, state, table, took, when } from "../dom.js";
import { graph } from "../chart.js";

const STATES = ["", "RUNNING", "QUEUED", "COMPLETED", "FAILED", "CANCELLED", "REJECTED"];
const REFRESH = 3000;
const LOOKS = [1000, 2000, 4000, 8000, 16000];
const WAITS = new Set(["QUEUED", "PENDING"]);

export async function show(place, context) {
  if (context.rest[0]) return one(place, context, context.rest[0]);
  return list(place, context);
}

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

async function list(place, { signal }) {
  const wanted = h("select", { "aria-label": "Status" }, STATES.map((name) => h("option", { value: name }, name || "every status")));
  const from = h("input", { type: "date", "aria-label": "From" });
  const rows = h("div", {});
  let cursor = "", pages = [];
  const fetchPage = (behind) => get(query(RUNS, { status: wanted.value, from: from.value, limit: 50, cursor: behind }), { signal });
  const draw = () => {
    const runs = pages.flatMap((page) => page.runs);
    rows.replaceChildren(table([
      ["Run", (run) => h("a", { href: `#/runs/${run.run_id}` }, run.run_id.slice(0, 8))],
      ["Pipeline", (run) => run.config_id], ["State", (run) => state(run.status)],
      ["For", (run) => run.run_date], ["Submitted", (run) => when(run.submitted_at)],
      ["Took", (run) => (run.started_at && run.finished_at ? took(new Date(run.finished_at) - new Date(run.started_at)) : "–"), "number"],
    ], runs, from.value ? "No runs since then." : "No runs in the last 30 days."), cursor ? button("More", more) : "");
  };
  const more = async () => { const page = await fetchPage(cursor); pages.push(page); cursor = page.next_cursor; draw(); };
  const begin = async () => { const page = await fetchPage(""); pages = [page]; cursor = page.next_cursor; draw(); };
  for (const one of [wanted, from]) one.addEventListener("change", begin);
  place.replaceChildren(h("h1", {}, "Runs"), card("", h("div", { class: "small" }, wanted, from), h("p", { class: "soft" }, "Without a first day, of the last 30 days."), rows));
  await begin();
  keepFresh();
  async function keepFresh() {
    while (!signal.aborted) {
      await pause(REFRESH, signal);
      if (signal.aborted || document.hidden || pages.length > 1) continue;
      await begin().catch(() => {});
    }
  }
}

// A template's runs are filed under its name with dashes; everything else is a pipeline's own.
async function definitionOf(name, signal) {
  const { templates } = /-.+-/.test(name) ? await get("/api/v1/templates", { signal }) : { templates: [] };
  const template = templates.find((one) => one.template_id.replaceAll("/", "-") === name);
  const path = template ? `/api/v1/templates/${template.template_id}` : `${CONFIGS}/${encodeURIComponent(name)}`;
  return get(path, { signal }).then((found) => found.definition, () => null);
}

async function one(place, { signal }, id) {
  const path = `${RUNS}/${encodeURIComponent(id)}`;
  let run = await get(path, { signal });
  const definition = await definitionOf(run.config_id, signal);
  const title = h("h1", {}, run.config_id, " ", h("small", { class: "soft" }, id.slice(0, 8)));
  const facts = card(""), actions = h("div", { class: "row card" }), wrong = h("div", {});
  const drawing = card("Steps"), bars = card("Timeline"), log = card("Log");
  place.replaceChildren(title, wrong, facts, actions, drawing, bars, log);
  await draw();
  extras(place, path, signal);
  follow();

  async function follow() {
    while (!signal.aborted && !ENDED.has(run.status)) {
      try {
        run = await get(query(path, { wait: 20, since: run.version }), { signal });
        await draw();
      } catch (error) {
        if (error.name === "AbortError") return;
        await pause(REFRESH, signal);
      }
    }
    // The run's end and its last steps come by different ways: look until all have ended.
    for (const wait of LOOKS) {
      await pause(wait, signal);
      if (signal.aborted || await draw().catch(() => false)) return;
    }
  }

  async function draw() {
    const steps = (await get(`${path}/steps`, { signal })).steps;
    const states = new Map(steps.map((step) => [step.step_id, step]));
    facts.replaceChildren(...about(run));
    if (!WAITS.has(run.status)) wrong.querySelector(".reasons")?.remove();
    actions.replaceChildren(...buttons(run, path, wrong));
    drawing.replaceChildren(h("h2", {}, "Steps"), graph(definition?.steps ?? steps.map((step) => ({ step_id: step.step_id, type: step.step_type, needs: [] })), states));
    bars.replaceChildren(h("h2", {}, "Timeline"), timeline(run, steps));
    log.replaceChildren(h("h2", {}, "Log"), table([
      ["Step", (step) => step.step_id], ["State", (step) => state(step.status)], ["Try", (step) => step.attempt, "number"],
      ["Rows", (step) => count(step.rows), "number"], ["Bytes billed", (step) => count(step.bytes), "number"],
      ["What happened", (step) => step.error ? h("span", {}, h("strong", {}, step.error.code), " ", step.error.detail) : step.finished_at ? ["ended ", when(step.finished_at)] : "under way"],
    ], steps, "No step has begun."));
    return steps.length >= (definition?.steps.length ?? 1) && steps.every((step) => step.status !== "RUNNING");
  }
}

function about(run) {
  const parts = [
    h("p", { class: "big" }, state(run.status)),
    run.error && h("div", { class: "problem" }, h("strong", {}, run.error.code), h("p", {}, run.error.detail)),
    h("dl", {}, [["For", run.run_date], ["Revision", run.revision], ["Attempt", run.attempt], ["Submitted", when(run.submitted_at)],
      ["Started", when(run.started_at)], ["Ended", when(run.finished_at)], ["By", run.trigger.by || run.trigger.type]]
      .flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
  ];
  return parts.filter(Boolean);
}

function buttons(run, path, wrong) {
  const act = (work) => async () => {
    try { wrong.replaceChildren(); await work(); } catch (error) { wrong.replaceChildren(problem(error)); }
  };
  const found = [];
  if (!ENDED.has(run.status)) {
    found.push(button("Cancel", act(async () => { await call("DELETE", path); say("Cancelling"); }), "danger"));
  } else {
    found.push(button("Run again", act(async () => {
      const next = has(`POST ${RUNS}/{run_id}/retry`)
        ? await post(`${path}/retry`, { from: run.status === "FAILED" ? "failed" : "start" })
        : await post(`/api/v1/pipelines/run/${encodeURIComponent(run.config_id)}`, { date: run.run_date, trigger_by: "console" });
      location.hash = `#/runs/${next.run_id}`;
    }), "first"));
  }
  if (has(`GET ${RUNS}/{run_id}/explain`) && WAITS.has(run.status)) {
    found.push(button("Why does it wait?", act(async () => { wrong.replaceChildren(reasons(await get(`${path}/explain`))); })));
  }
  return found;
}

function reasons(told) {
  const facts = [["Limit", told.blocking_limit], ["Place", told.place && `${told.place} of ${told.waiting}`], ["Running now", told.running],
    ["Expected start", told.expected_start_at && when(told.expected_start_at)]].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("section", { class: "card reasons", role: "status" }, h("h2", {}, "Why it waits"), h("p", {}, told.detail),
    h("dl", {}, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

function timeline(run, steps) {
  const begun = steps.filter((step) => step.started_at);
  if (!begun.length) return h("p", { class: "soft" }, "No step has begun.");
  const start = Math.min(...begun.map((step) => Date.parse(step.started_at)));
  const ends = begun.map((step) => Date.parse(step.finished_at ?? run.finished_at ?? new Date().toISOString()));
  const whole = Math.max(...ends) - start || 1;
  return h("div", { class: "timeline" }, begun.flatMap((step, i) => {
    const span = h("div", { class: "span" });
    span.style.left = `${((Date.parse(step.started_at) - start) / whole) * 100}%`;
    span.style.width = `${((ends[i] - Date.parse(step.started_at)) / whole) * 100}%`;
    return [h("span", {}, step.step_id), h("div", { class: `track ${step.status}` }, span), h("span", { class: "soft" }, took(ends[i] - Date.parse(step.started_at)))];
  }));
}

async function extras(place, path, signal) {
  if (!has(`GET ${RUNS}/{run_id}/dq`)) return;
  try {
    const found = await get(`${path}/dq`, { signal });
    const checks = found.checks ?? found[Object.keys(found).find((name) => Array.isArray(found[name]))] ?? [];
    if (checks.length) {
      place.append(card("Data quality", table([
        ["Check", (check) => check.check_name ?? check.name], ["State", (check) => state(check.status)],
        ["Rows", (check) => count(check.row_count ?? check.rows), "number"], ["Detail", (check) => check.detail ?? check.message ?? ""],
      ], checks)));
    }
  } catch (error) {
    if (error.name !== "AbortError") place.append(card("Data quality", problem(error)));
  }
}
