// Elements made of text and nodes alone: nothing that a tenant wrote is ever parsed as HTML.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false));
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export function say(text) {
  const status = document.getElementById("status");
  status.replaceChildren(h("p", {}, text));
  clearTimeout(say.timer);
  say.timer = setTimeout(() => status.replaceChildren(), 6000);
}

export const card = (title, ...rest) => h("section", { class: "card" }, title && h("h2", {}, title), ...rest);
export const state = (text) => h("span", { class: `state ${text}` }, `${GLYPHS[text] ?? "•"} ${text}`);
export const button = (text, onclick, kind = "") => h("button", { type: "button", class: kind, onclick }, text);

// A state is never told by its colour alone.
export const GLYPHS = {
  COMPLETED: "✓", FAILED: "✗", REJECTED: "⊘", RUNNING: "▶", QUEUED: "…", PENDING: "…", CANCELLED: "■",
  SKIPPED: "↷", ACTIVE: "✓", PASS: "✓", FAIL: "✗", WARN: "!",
};

export function table(columns, rows, empty = "Nothing yet.") {
  if (!rows.length) return h("p", { class: "soft" }, empty);
  const heads = columns.map(([name, , kind]) => h("th", { scope: "col", class: kind }, name));
  const line = (row) => h("tr", {}, columns.map(([, show, kind]) => h("td", { class: kind }, show(row))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows.map(line))));
}

export function field(name, hint, control) {
  return h("label", {}, name, hint && h("span", {}, hint), control);
}

export function problem(error) {
  const faults = (error.errors ?? []).map((f) =>
    h("li", {}, f.line ? `line ${f.line}: ` : f.pointer ? `${f.pointer}: ` : "", f.detail));
  return h("div", { class: "problem", role: "alert" },
    h("strong", {}, error.title ?? "That did not work"), h("p", {}, error.detail ?? String(error)),
    faults.length ? h("ul", {}, faults) : null,
    error.trace_id ? h("p", { class: "soft" }, "trace ", h("code", {}, error.trace_id)) : null);
}

export function ask(title, content, submit, act) {
  const wrong = h("div", {});
  const form = h("form", { method: "dialog" }, h("h2", {}, title), wrong, content,
    h("div", { class: "row" }, h("button", { type: "submit", class: "first" }, submit),
      button("Close", () => dialog.close())));
  const dialog = h("dialog", { "aria-label": title, onclose: () => dialog.remove() }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const more = await act(form);
      if (more) form.replaceChildren(h("h2", {}, title), more, h("div", { class: "row" }, button("Done", () => dialog.close(), "first")));
      else dialog.close();
    } catch (error) {
      wrong.replaceChildren(problem(error));
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}

export const when = (text) => (text ? h("time", { datetime: text }, new Date(text).toLocaleString()) : "–");
export const took = (ms) => (ms >= 60000 ? `${(ms / 60000).toFixed(1)} min` : ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms} ms`);
export const count = (number) => new Intl.NumberFormat().format(number ?? 0);
export const money = (amount, currency = "USD") => new Intl.NumberFormat(undefined, { style: "currency", currency }).format(Number(amount ?? 0));
export const day = (date) => date.toISOString().slice(0, 10);
export const daysBack = (many, until = Date.now()) => Array.from({ length: many }, (_, i) => day(new Date(until - (many - 1 - i) * 864e5)));
