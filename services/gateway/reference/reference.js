// The reference, made of the document that this gateway serves; nothing comes from elsewhere.
import { card, field, h, table } from "/console/dom.js";

const main = document.getElementById("main");
const REF = "#/components/schemas/";
const document_ = await (await fetch("/openapi.json")).json();
const { schemas } = document_.components;

const WHO = { TenantKey: "a tenant's key in X-API-Key", AdminKey: "an operator's key in X-Admin-Key" };

function who(security) {
  const keys = security.flatMap((option) => Object.keys(option));
  if (!keys.length) return "Open to all.";
  const open = security.some((option) => !Object.keys(option).length);
  return `Opens with ${keys.map((key) => WHO[key]).join(" or ")}${open ? ", or to guests while the door is open" : ""}.`;
}

// How a schema is called in a table: its name with a link, or its type.
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) { const name = schema.$ref.slice(REF.length); return h("a", { href: `#schema-${name}` }, name); }
  const options = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (options) return options.flatMap((one, i) => [i ? " or " : "", kind(one)]);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(", ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return ["list of ", kind(schema.items ?? {})];
  if (schema.additionalProperties && typeof schema.additionalProperties === "object") return ["map of ", kind(schema.additionalProperties)];
  const bounds = ["minimum", "maximum", "minLength", "maxLength", "pattern", "default"].filter((name) => schema[name] !== undefined && schema[name] !== "");
  return [schema.format ?? schema.type ?? "anything", bounds.length ? ` (${bounds.map((name) => `${name} ${JSON.stringify(schema[name])}`).join(", ")})` : ""];
}

const sample = (value) => h("pre", { tabindex: "0" }, typeof value === "string" ? value : JSON.stringify(value, null, 2));

function parameters(told) {
  if (!told.parameters.length) return null;
  return [h("h3", {}, "Parameters"), table([
    ["Name", (one) => h("code", {}, one.name)], ["In", (one) => one.in], ["Kind", (one) => kind(one.schema)],
    ["", (one) => (one.required ? "needed" : "")], ["About", (one) => one.description ?? ""],
  ], told.parameters)];
}

function body(told) {
  const content = Object.entries(told.requestBody?.content ?? {});
  return content.length ? [h("h3", {}, "Body"), content.map(([media, one]) => [h("p", {}, h("code", {}, media), " ", kind(one.schema)), sample(one.example)])] : null;
}

function answers(told) {
  const good = Object.entries(told.responses).filter(([status]) => status < "400");
  const bad = Object.entries(told.responses).filter(([status]) => status >= "400");
  const codes = bad.flatMap(([status, one]) => Object.keys(one.content?.["application/problem+json"]?.examples ?? {}).map((code) => [status, code]));
  return [
    h("h3", {}, "Answers"),
    good.map(([status, one]) => [
      h("p", {}, h("strong", {}, status), ` ${one.description} `, Object.entries(one.content ?? {}).map(([media, c]) => [h("code", {}, media), " ", kind(c.schema), " "])),
      Object.values(one.content ?? {}).filter((c) => c.example !== undefined).map((c) => sample(c.example)),
    ]),
    codes.length ? [h("h3", {}, "Refusals"), h("p", {}, codes.map(([status, code], i) => [i ? ", " : "", `${status} `, h("a", { href: `/docs/errors#${code}` }, code)]))] : null,
  ];
}

function operation(method, path, told) {
  return h("details", { id: told.operationId, "data-words": `${method} ${path} ${told.summary} ${told.tags}`.toLowerCase() },
    h("summary", {}, h("span", { class: "method" }, method.toUpperCase()), h("code", {}, path), ` ${told.summary}`),
    h("p", {}, told.description ?? "", " ", who(told.security)), parameters(told), body(told), answers(told));
}

function model(name, schema) {
  const needed = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {});
  return h("details", { id: `schema-${name}`, "data-words": name.toLowerCase() }, h("summary", {}, h("code", {}, name), ` ${(schema.description ?? "").split("\n")[0]}`),
    rows.length ? table([["Field", ([field_]) => h("code", {}, field_)], ["Kind", ([, one]) => kind(one)], ["", ([field_]) => (needed.has(field_) ? "always" : "")], ["About", ([, one]) => one.description ?? ""]], rows) : h("p", {}, kind(schema)));
}

// An admin path has a short form, which is the same: it is told once.
const operations = Object.entries(document_.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, told]) => ({ method, path, told })))
  .filter(({ told }) => !(told.description ?? "").startsWith("The same as"));
const search = h("input", { type: "search", name: "search", autocomplete: "off" });
const sections = document_.tags.map(({ name }) => card(name.replaceAll("_", " "), operations.filter(({ told }) => told.tags.includes(name)).map(({ method, path, told }) => operation(method, path, told))));
const models = card("Schemas", Object.entries(schemas).map(([name, schema]) => model(name, schema)));

search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const one of main.querySelectorAll("details")) one.hidden = !words.every((word) => one.dataset.words.includes(word));
  for (const section of main.querySelectorAll("section")) section.hidden = !section.querySelector("details:not([hidden])");
});

main.append(h("div", {}, h("p", {}, document_.info.description, ` Version ${document_.info.version}. `, "Paths under /api/v1/admin/ answer under /admin/ too. ", h("a", { href: "/docs/errors" }, "Every refusal is explained.")),
  h("form", { class: "small", role: "search", onsubmit: (event) => event.preventDefault() }, field("Find", "Words of a path or of what it does.", search)), sections, models));

function open() {
  const found = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (found instanceof HTMLDetailsElement) { found.open = true; found.scrollIntoView(); }
}
window.addEventListener("hashchange", open);
open();
