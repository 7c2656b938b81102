import { get, query } from "../api.js";
import { button, card, daysBack, field, h, problem, table, when } from "../dom.js";

const LETTERS = "/api/v1/admin/dead-letters";
const SERVICES = ["", "tenant", "scheduler", "executor", "audit-log"];

export async function show(place, { signal }) {
  const service = h("select", { name: "service" }, SERVICES.map((one) => h("option", { value: one }, one || "Every service")));
  const type = h("input", { name: "type", placeholder: "run.requested.v1", autocomplete: "off" });
  const from = h("input", { name: "from", type: "date", value: daysBack(30)[0], required: true });
  const rows = h("div", {});
  let letters = [], cursor = "", asked = 0;
  const draw = () => rows.replaceChildren(table([
    ["When", (one) => when(one.given_up_at)], ["Who", (one) => one.service], ["What", (one) => h("code", {}, one.message_type || "unreadable")],
    ["Tenant", (one) => one.tenant_id ?? "–"], ["Tries", (one) => one.attempt, "number"],
    ["Why", (one) => h("details", {}, h("summary", {}, one.error), h("p", {}, one.reason),
      h("p", { class: "soft" }, "message ", h("code", {}, one.message_id), " on ", h("code", {}, one.subscription)))],
  ], letters, "Nothing was given up."), cursor ? button("More", () => look(cursor)) : "");
  const look = async (behind) => {
    const mine = ++asked; // an answer that comes after a later one's question is not shown
    try {
      const page = await get(query(LETTERS, { service: service.value, type: type.value.trim(), from: `${from.value}T00:00:00Z`, cursor: behind, limit: 50 }), { signal });
      if (mine !== asked) return;
      letters = behind ? [...letters, ...page.letters] : page.letters;
      cursor = page.next_cursor;
      draw();
    } catch (error) {
      if (error.name !== "AbortError" && mine === asked) rows.replaceChildren(problem(error));
    }
  };
  const form = h("form", { class: "grid" }, field("Service", "Who gave it up.", service), field("Type", "Empty for every type.", type), field("From", "The first day, in UTC.", from), h("div", {}, h("button", { type: "submit" }, "Look")));
  form.addEventListener("submit", (event) => { event.preventDefault(); look(""); });
  place.replaceChildren(h("h1", {}, "Dead letters"), card("", form, rows,
    h("p", { class: "soft" }, "Told here is what was given up, and when. The letters wait on their subscriptions for seven days: ",
      h("code", {}, "python -m deploy.operations redrive --subscription …"), " sends them again.")));
  await look("");
}
