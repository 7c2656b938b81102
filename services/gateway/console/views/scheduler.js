import { get, has, post } from "../api.js";
import { button, card, h, problem, say, table } from "../dom.js";

const JOBS = [["trigger", "Start what is due"], ["process-queue", "Start what waits"], ["reset-daily-quotas", "Daily maintenance"]];

export async function show(place, { signal }) {
  const wrong = h("div", {});
  const tick = (job) => async () => {
    try {
      const told = await post(`/api/v1/scheduler/${job}`);
      say(`${told.triggered_count} started, ${told.queued_count} waiting, ${told.retried_count} requested again`);
    } catch (error) { wrong.replaceChildren(problem(error)); }
  };
  place.replaceChildren(h("h1", {}, "Scheduler"), wrong,
    card("Ticks", h("p", { class: "soft" }, "The same as Cloud Scheduler's; harmless to repeat."),
      h("div", { class: "row" }, JOBS.map(([job, name]) => button(name, tick(job))))));
  if (!has("GET /api/v1/scheduler/status")) return;
  const status = await get("/api/v1/scheduler/status", { signal });
  const rows = Object.entries(status).find(([, value]) => Array.isArray(value) && typeof value[0] === "object");
  const facts = Object.entries(status).filter(([, value]) => typeof value !== "object");
  place.append(card("Queue and fairness", h("dl", {}, facts.flatMap(([name, value]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, String(value))])),
    rows && table(Object.keys(rows[1][0]).filter((name) => typeof rows[1][0][name] !== "object").map((name) => [name.replaceAll("_", " "), (row) => String(row[name])]), rows[1])));
}
