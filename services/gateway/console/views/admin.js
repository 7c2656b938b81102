import { call, get, has, post, query } from "../api.js";
import { ask, button, card, count, field, h, say, state, table, when } from "../dom.js";
import { shown } from "./keys.js";

const TENANTS = "/api/v1/admin/tenants";

export async function show(place, { signal, again }) {
  const tenants = [];
  let cursor;
  do {
    const page = await get(query(TENANTS, { cursor }), { signal });
    tenants.push(...page.tenants);
    cursor = page.next_cursor ?? undefined;
  } while (cursor && tenants.length < 1000);
  place.replaceChildren(h("h1", {}, "Tenants"), card(`${count(tenants.length)} tenants`, table([
    ["Tenant", (one) => one.tenant_id], ["Company", (one) => one.company_name], ["State", (one) => state(one.status)], ["Plan", (one) => one.plan],
    ["Per day", (one) => count(one.limits.daily), "number"], ["At once", (one) => count(one.limits.concurrent), "number"], ["Since", (one) => when(one.created_at)],
    ["", (one) => h("div", { class: "row" }, button("New key", () => newKey(one.tenant_id)),
      has(`PATCH ${TENANTS}/{tenant_id}`) && ["ACTIVE", "SUSPENDED"].includes(one.status) && button(one.status === "ACTIVE" ? "Suspend" : "Resume", () => change(one, again)))],
  ], tenants), h("p", {}, button("New tenant", () => create(again), "first"))));
}

function newKey(tenant) {
  const about = h("input", { name: "description", maxlength: 200, autocomplete: "off" });
  ask(`New key for ${tenant}`, field("What for", "", about), "Make it",
    async () => shown(await post("/api/v1/admin/api-keys", { tenant_id: tenant, description: about.value })));
}

function change(tenant, again) {
  const suspend = tenant.status === "ACTIVE";
  const why = h("input", { name: "reason", required: suspend, autocomplete: "off" });
  ask(`${suspend ? "Suspend" : "Resume"} ${tenant.tenant_id}?`, suspend && field("Why", "The tenant sees it.", why), suspend ? "Suspend" : "Resume", async () => {
    const body = suspend ? { status: "SUSPENDED", reason: why.value } : { status: "ACTIVE" };
    await call("PATCH", `${TENANTS}/${tenant.tenant_id}`, { body });
    say("Done");
    again();
  });
}

function create(again) {
  const name = h("input", { name: "tenant_id", required: true, pattern: "[a-z][a-z0-9_]{2,49}", autocomplete: "off" });
  const company = h("input", { name: "company", autocomplete: "off" });
  const plan = h("select", { name: "plan" }, ["STARTER", "PROFESSIONAL", "SCALE"].map((one) => h("option", {}, one)));
  ask("New tenant", [field("Name", "Also the name of its dataset.", name), field("Company", "", company), field("Plan", "", plan)], "Create", async () => {
    await post(TENANTS, { tenant_id: name.value, company_name: company.value, subscription_plan: plan.value });
    say(`${name.value} is there`);
    again();
  });
}
