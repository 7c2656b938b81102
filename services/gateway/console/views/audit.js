import { get, query, session } from "../api.js";
import { button, card, field, h, problem, table, when } from "../dom.js";

const KINDS = ["", "command", "event", "query", "reply"];

export async function show(place, { signal }) {
  const tenant = session.isAdmin && h("input", { name: "tenant", required: true, autocomplete: "off" });
  const text = (name, placeholder) => h("input", { name, placeholder, autocomplete: "off" });
  const type = text("type", "run.finished.v1"), run = text("run_id", "");
  const kind = h("select", { name: "kind" }, KINDS.map((one) => h("option", { value: one }, one || "every kind")));
  const from = h("input", { type: "datetime-local", name: "from" }), to = h("input", { type: "datetime-local", name: "to" });
  const rows = h("div", {});
  let events = [], cursor = "", asked = 0;
  const draw = () => rows.replaceChildren(table([
    ["When", (event) => when(event.event_time)], ["What", (event) => h("code", {}, event.event_type)], ["Who told", (event) => event.source],
    ["Run", (event) => event.run_id && (session.isAdmin ? event.run_id.slice(0, 8) : h("a", { href: `#/runs/${event.run_id}` }, event.run_id.slice(0, 8)))],
    ["", (event) => h("details", {}, h("summary", {}, "Data"), h("pre", {}, pretty(event.data)))],
  ], events), cursor ? button("More", () => look(cursor)) : "");
  const look = async (behind) => {
    const mine = ++asked; // an answer that comes after a later one's question is not shown
    try {
      const chosen = { tenant_id: tenant ? tenant.value.trim() : "", type: type.value.trim(), run_id: run.value.trim(), kind: kind.value, from: moment(from), to: moment(to) };
      const page = await get(query("/api/v1/audit/events", { ...chosen, cursor: behind, limit: 50 }), { signal });
      if (mine !== asked) return;
      events = behind ? [...events, ...page.events] : page.events;
      cursor = page.next_cursor;
      draw();
    } catch (error) {
      if (error.name !== "AbortError" && mine === asked) rows.replaceChildren(problem(error));
    }
  };
  const form = h("form", { class: "grid" }, tenant && field("Tenant", "", tenant), field("Type", "Empty for every type.", type),
    field("Kind", "What was asked, or what happened.", kind), field("Run", "The whole id.", run), field("From", "", from), field("To", "", to), h("div", {}, h("button", { type: "submit" }, "Look")));
  form.addEventListener("submit", (event) => { event.preventDefault(); look(""); });
  place.replaceChildren(h("h1", {}, "Audit"), card("", form, rows));
  if (!tenant) await look("");
}

// What the browser's clock says there, as a moment that is the same everywhere.
const moment = (input) => (input.value ? new Date(input.value).toISOString() : "");

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
