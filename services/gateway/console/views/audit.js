import { get, query, session } from "../api.js";
import { button, card, field, h, problem, table, when } from "../dom.js";

export async function show(place, { signal }) {
  const tenant = session.isAdmin && h("input", { name: "tenant", required: true, autocomplete: "off" });
  const type = h("input", { name: "type", placeholder: "run.finished.v1", autocomplete: "off" });
  const rows = h("div", {});
  let events = [], cursor = "";
  const draw = () => rows.replaceChildren(table([
    ["When", (event) => when(event.event_time)], ["What", (event) => h("code", {}, event.event_type)], ["Who told", (event) => event.source],
    ["Run", (event) => event.run_id && (session.isAdmin ? event.run_id.slice(0, 8) : h("a", { href: `#/runs/${event.run_id}` }, event.run_id.slice(0, 8)))],
    ["", (event) => h("details", {}, h("summary", {}, "Data"), h("pre", {}, pretty(event.data)))],
  ], events), cursor ? button("More", () => look(cursor)) : "");
  const look = async (from) => {
    try {
      const page = await get(query("/api/v1/audit/events", { tenant_id: tenant?.value, type: type.value, cursor: from, limit: 50 }), { signal });
      events = from ? [...events, ...page.events] : page.events;
      cursor = page.next_cursor;
      draw();
    } catch (error) {
      if (error.name !== "AbortError") rows.replaceChildren(problem(error));
    }
  };
  const form = h("form", { class: "grid" }, tenant && field("Tenant", "", tenant), field("Type", "Empty for every type.", type), h("div", {}, h("button", { type: "submit" }, "Look")));
  form.addEventListener("submit", (event) => { event.preventDefault(); look(""); });
  place.replaceChildren(h("h1", {}, "Audit"), card("", form, rows));
  if (!tenant) await look("");
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
