import { get, post } from "../api.js";
import { ask, button, card, day, field, h } from "../dom.js";

export async function show(place, { signal }) {
  const [{ templates }, me] = await Promise.all([get("/api/v1/templates", { signal }), get("/api/v1/tenants/me", { signal })]);
  const cards = templates.map((one) => card(one.title, h("p", {}, one.description),
    h("p", { class: "soft" }, h("code", {}, one.template_id), ` version ${one.version}`),
    h("p", { class: "soft" }, `Makes ${one.tables.join(", ")}`, one.checks.length ? `; ${one.checks.length} quality checks` : ""),
    button("Run", () => run(one, me.tenant_id), "first")));
  place.replaceChildren(h("h1", {}, "Templates"),
    cards.length ? h("div", { class: "grid" }, cards) : h("p", { class: "soft" }, "This platform has no templates."));
}

function control(name, schema, required) {
  const common = { name, required };
  if (schema.enum) return h("select", common, schema.enum.map((one) => h("option", { value: one, selected: one === schema.default }, one)));
  if (schema.type === "boolean") return h("select", common, ["false", "true"].map((one) => h("option", { value: one, selected: String(schema.default) === one }, one)));
  if (schema.type === "integer" || schema.type === "number") return h("input", { ...common, type: "number", step: schema.type === "integer" ? 1 : "any", min: schema.minimum, max: schema.maximum, value: schema.default ?? "" });
  return h("input", { ...common, pattern: schema.pattern, maxlength: schema.maxLength, value: schema.default ?? "", autocomplete: "off" });
}

function value(schema, text) {
  if (schema.type === "integer" || schema.type === "number") return Number(text);
  if (schema.type === "boolean") return text === "true";
  if (schema.type === "array" || schema.type === "object") return JSON.parse(text);
  return text;
}

function run(template, tenant) {
  const properties = Object.entries(template.parameters.properties ?? {});
  const needed = new Set(template.parameters.required ?? []);
  const date = h("input", { type: "date", name: "date", value: day(new Date()), required: true });
  const fields = properties.map(([name, schema]) => field(schema.title ?? name, schema.description, control(name, schema, needed.has(name))));
  ask(template.title, [field("Day", "", date), fields], "Run", async (form) => {
    const parameters = {};
    for (const [name, schema] of properties) {
      const text = form.elements[name].value;
      if (text !== "") parameters[name] = value(schema, text);
    }
    const started = await post(`/api/v1/pipelines/run/${tenant}/${template.template_id}`, { date: date.value, parameters, trigger_by: "console" });
    location.hash = `#/runs/${started.run_id}`;
  });
}
