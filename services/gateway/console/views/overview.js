import { CONFIGS, get, has, post, query, RUNS } from "../api.js";
import { ask, card, count, day, daysBack, field, GLYPHS, h, money, say, state, when } from "../dom.js";
import { stacked } from "../chart.js";

const DAYS = 14;
const SERVICES = 5;
const PERIOD_DAYS = 31;

export async function show(place, { signal }) {
  const known = has("GET /api/v1/cost/sources") ? get("/api/v1/cost/sources", { signal }).then((found) => found.sources) : null;
  known?.catch(() => {}); // whoever waits for it says so
  const [me, quota, runs] = await Promise.all([
    get("/api/v1/tenants/me", { signal }),
    get("/api/v1/tenants/quota", { signal }),
    get(query(RUNS, { limit: 200, from: daysBack(DAYS)[0] }), { signal }),
  ]);
  place.replaceChildren(
    h("h1", {}, me.company_name),
    h("div", { class: "grid" }, gauges(quota), today(runs.runs)),
    freshness(runs.runs, known, signal),
  );
  place.append(await cost(known, signal));
}

function gauge(name, used, most, more) {
  return h("div", {}, h("div", { class: "row" }, h("strong", {}, name), h("span", {}, `${count(used)} of ${count(most)}`)),
    h("meter", { min: 0, max: Math.max(most, 1), value: used, high: most * 0.8 || 1, optimum: 0, "aria-label": `${name}: ${used} of ${most}` }),
    h("p", { class: "soft" }, more));
}

function gauges(quota) {
  return card(`Quota · ${quota.plan}`,
    gauge("Today", quota.used_today, quota.limits.daily, ["resets ", when(quota.day_resets_at)]),
    gauge("This month", quota.used_this_month, quota.limits.monthly, ["resets ", when(quota.month_resets_at)]),
    gauge("Running now", quota.running, quota.limits.concurrent, `${count(quota.queued)} waiting`));
}

function today(runs) {
  const now = day(new Date());
  const mine = runs.filter((run) => run.submitted_at.slice(0, 10) === now);
  const tally = Map.groupBy ? Map.groupBy(mine, (run) => run.status) : new Map();
  return card("Runs today", h("p", { class: "big" }, count(mine.length)),
    h("ul", {}, [...tally].map(([status, some]) => h("li", {}, state(status), ` ${some.length}`))),
    h("a", { href: "#/runs" }, "All runs"));
}

function freshness(runs, known, signal) {
  const days = daysBack(DAYS);
  const names = [...new Set(runs.map((run) => run.config_id))].sort();
  const newest = new Map();
  for (const run of [...runs].reverse()) {
    const key = `${run.config_id} ${run.run_date}`;
    if (newest.get(key)?.status !== "COMPLETED") newest.set(key, run);
  }
  const cell = (name, date) => {
    const run = newest.get(`${name} ${date}`);
    return run
      ? h("a", { class: `cell ${run.status}`, href: `#/runs/${run.run_id}`, "aria-label": `${name} ${date}: ${run.status}` }, GLYPHS[run.status])
      : gap(name, date, () => backfill(name, date, date));
  };
  const box = card("Freshness: the last 14 days",
    names.length
      ? map("Runs by pipeline", days, names, cell)
      : h("p", {}, "No runs yet. ", h("a", { href: "#/pipelines" }, "Write a pipeline"), " and run it."),
    h("p", { class: "soft" }, "A dot is a day without a run, or without cost: choose it to fill it."));
  if (known) showSources(box.querySelector("h2"), days, known, signal);
  return box;
}

const gap = (name, date, fill) => h("button", { type: "button", class: "cell soft", "aria-label": `${name} ${date}: nothing; fill`, onclick: fill }, "·");

function map(title, days, names, cell) {
  const head = h("tr", {}, h("td", {}), days.map((date) => h("th", { scope: "col" }, date.slice(8))));
  const rows = names.map((name) => h("tr", {}, h("th", { scope: "row" }, name), days.map((date) => h("td", {}, cell(name, date)))));
  const box = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
    h("table", { class: "map" }, h("thead", {}, head), h("tbody", {}, rows)));
  requestAnimationFrame(() => { box.scrollLeft = box.scrollWidth; }); // where it is narrow, the newest days first
  return h("div", {}, h("h3", {}, title), box);
}

async function showSources(heading, days, known, signal) {
  try {
    heading.after(await sources(days, known, signal) ?? "");
  } catch (error) {
    if (error.name !== "AbortError") heading.after(h("p", { class: "soft" }, error.detail ?? String(error)));
  }
}

// Which days of which source have cost, for every one that was loaded.
async function sources(days, known, signal) {
  const [ever, lately] = await Promise.all([known, costsOf(days, "source,day", signal)]);
  const names = ever.map((one) => one.source);
  const of = new Map(lately.map((one) => [`${one.group.source} ${one.group.day}`, one]));
  const cell = (name, date) => {
    const cost = of.get(`${name} ${date}`);
    return cost
      ? h("span", { class: "cell COMPLETED", role: "img", "aria-label": `${name} ${date}: ${money(cost.effective_cost, cost.currency)}` }, GLYPHS.COMPLETED)
      : gap(name, date, () => fillSource(name, date));
  };
  return names.length ? map("Cost by source", days, names, cell) : null;
}

// A gap in a source is filled by a pipeline that reads it, or by its template.
async function fillSource(source, date) {
  const { configs } = await get(query(CONFIGS, { limit: 200 }));
  if (!configs.length) {
    location.hash = "#/templates";
    say("No pipeline reads it: run its template for that month.");
    return;
  }
  const reads = (config) => config.definition.steps.some((step) => step.type === "cost.focus" && source === (step.config.provider || step.config.mapping?.split("_")[0]));
  const options = configs.map((one) => h("option", {}, one.config_id));
  const pipeline = h("select", { name: "pipeline", required: true }, h("option", { value: "" }, "choose one"), options);
  pipeline.value = configs.find(reads)?.config_id ?? "";
  const template = h("p", {}, "Or run its ", h("a", { href: "#/templates", onclick: (event) => event.target.closest("dialog").close() }, "template"), " for that month.");
  askForDays(`Fill days of ${source}`, date, date, () => pipeline.value, field("Pipeline", "", pipeline), template);
}

export function backfill(name, from, to) {
  askForDays(`Fill days of ${name}`, from, to, () => name);
}

function askForDays(title, from, to, pipeline, before = null, after = null) {
  const first = h("input", { type: "date", name: "from", value: from, required: true });
  const last = h("input", { type: "date", name: "to", value: to, required: true });
  ask(title, [before, field("From", "", first), field("To", "", last), after], "Run", async () => {
    const name = pipeline();
    const made = await post(`${CONFIGS}/${encodeURIComponent(name)}/backfills`, { from: first.value, to: last.value });
    say(`Backfill of ${name}: ${made.status ?? "started"}`);
  });
}

async function cost(known, signal) {
  const box = card(known ? "Cost by service" : "What runs cost, per day");
  try {
    box.append(known ? await byService(known, signal) : await byDay(signal));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    box.append(h("p", { class: "soft" }, error.detail));
  }
  return box;
}

async function byDay(signal) {
  const days = daysBack(30);
  const found = await get(query("/api/v1/pipelines/costs", { group_by: "day", from: days[0], limit: 200 }), { signal });
  const of = new Map(found.costs.map((one) => [one.day, Number(one.cost)]));
  const currency = found.costs[0]?.currency;
  return stacked(days, [{ name: "queries", values: days.map((one) => of.get(one) ?? 0) }], currency);
}

const costsOf = (days, group_by, signal) => get(query("/api/v1/cost", { group_by, from: days[0], to: days.at(-1), limit: 1000 }), { signal }).then((found) => found.costs);

// Bills come late: without any of the last days, those up to the newest of the newest period are shown.
async function byService(known, signal) {
  let days = daysBack(30), late = "";
  let costs = await costsOf(days, "service,day", signal);
  if (!costs.length) {
    const period = (await known).map((one) => one.newest_period).sort().at(-1);
    const around = period && daysBack(2 * PERIOD_DAYS, Date.parse(period) + PERIOD_DAYS * 864e5);
    late = around && (await costsOf(around, "day", signal)).map((one) => one.group.day).sort().at(-1);
    if (!late) return h("p", { class: "soft" }, "No cost has been loaded yet.");
    days = daysBack(30, Date.parse(late));
    costs = await costsOf(days, "service,day", signal);
  }
  const currency = costs[0].currency;
  const services = new Map();
  for (const one of costs.filter((row) => row.currency === currency)) {
    const of = services.get(one.group.service) ?? new Map();
    services.set(one.group.service, of.set(one.group.day, Number(one.effective_cost)));
  }
  const sum = (of) => [...of.values()].reduce((all, amount) => all + amount, 0);
  const dearest = [...services].sort(([, one], [, other]) => sum(other) - sum(one));
  const series = dearest.slice(0, SERVICES).map(([name, of]) => ({ name, values: days.map((date) => of.get(date) ?? 0) }));
  const rest = dearest.slice(SERVICES).map(([, of]) => of);
  if (rest.length) series.push({ name: "others", values: days.map((date) => rest.reduce((all, of) => all + (of.get(date) ?? 0), 0)) });
  return h("div", {}, late && h("p", { class: "soft" }, `The newest cost is of ${late}.`), stacked(days, series, currency));
}
